package sealed_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/secret"
)

func TestReadKeyForms(t *testing.T) {
	key := sealed.NewKey().Reveal()
	for name, text := range map[string]string{
		"hex": hex.EncodeToString(key), "HEX": strings.ToUpper(hex.EncodeToString(key)),
		"base64": base64.StdEncoding.EncodeToString(key), "raw base64": base64.RawStdEncoding.EncodeToString(key),
		"base64url": base64.URLEncoding.EncodeToString(key), "raw base64url": base64.RawURLEncoding.EncodeToString(key),
		"white space": " " + hex.EncodeToString(key) + "\r\n",
	} {
		t.Setenv("SEALED_TEST_KEY", text)
		got, err := sealed.ReadKey("env:SEALED_TEST_KEY")
		if err != nil || !got.Equal(secret.New(key)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadKeyRefuses also looks for the key's text in the errors.
func TestReadKeyRefuses(t *testing.T) {
	const planted = "c0ffee"
	for text, hint := range map[string]string{
		planted:                              "has 3 bytes", // hexadecimal digits, but not 64 of them
		strings.Repeat("0", 64):              "all its bytes are the same",
		strings.Repeat(planted, 10) + "!!!!": "neither hexadecimal digits nor base64",
		strings.Repeat(planted, 11):          "has 49 bytes",
		"":                                   "is not set",
	} {
		t.Setenv("SEALED_TEST_KEY", text)
		_, err := sealed.ReadKey("env:SEALED_TEST_KEY")
		if text == planted {
			hint = "has 4 bytes" // six characters of base64
		}
		if err == nil || !strings.Contains(err.Error(), hint) || strings.Contains(err.Error(), planted) {
			t.Errorf("%q: %v; want %q", text, err, hint)
		}
	}
	if _, err := sealed.ReadKey(strings.Repeat(planted, 10)); err == nil || strings.Contains(err.Error(), planted) {
		t.Errorf("the key itself in the place of a reference: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := sealed.CreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	for mode, good := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, 0o440: true, 0o644: false, 0o604: false, 0o660: false, 0o602: false, 0o601: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		got, err := sealed.ReadKey("file:" + path)
		if good && (err != nil || !got.Equal(key)) || !good && (err == nil || !strings.Contains(err.Error(), "chmod 600")) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := sealed.CreateKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key file was overwritten: %v", err)
	}
	if _, err := sealed.ReadKey("file:" + path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file that is not there: %v", err)
	}
}

func TestRekey(t *testing.T) {
	cfg := config(t)
	var log bytes.Buffer
	next := sealed.NewKey()
	deaf, tool := open(t, cfg), open(t, cfg)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Rekeyed = func() (secret.Value, error) { return next, nil }
	follower := open(t, cfg)
	put(t, tool, "crm/login", "one")
	if err := tool.Rekey(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	put(t, tool, "crm/login", "two")
	if got := get(t, follower, "crm/login"); got != "two" || !strings.Contains(log.String(), "another key") {
		t.Errorf("the follower reads %q, log:\n%s", got, &log)
	}
	put(t, follower, "crm/login", "three")
	_, err := deaf.Read(t.Context(), "crm/login")
	wantReason(t, err, "STORE_WRONG_KEY", "is sealed with key")
	cfg.Rekeyed = nil
	_, err = sealed.Open(cfg)
	wantReason(t, err, "STORE_WRONG_KEY", "is sealed with key")
	cfg.Key = next
	if got := get(t, open(t, cfg), "crm/login"); got != "three" {
		t.Errorf("opened with the next key: %q", got)
	}
	if err := tool.Rekey(t.Context(), secret.FromString("short")); err == nil {
		t.Error("rekeyed to a key of five bytes")
	}
}

func TestNothingPrints(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	put(t, s, "crm/login", "pl4nted")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb+verb, cfg, s)
		for _, leak := range [][]byte{[]byte("pl4nted"), cfg.Key.Reveal()} {
			if strings.Contains(text, string(leak)) || strings.Contains(text, fmt.Sprintf("%x", leak)) || strings.Contains(text, strings.Trim(fmt.Sprint(leak), "[]")) {
				t.Errorf("%s prints a secret: %s", verb, text)
			}
		}
	}
}
