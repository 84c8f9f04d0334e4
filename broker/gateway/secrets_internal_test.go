package gateway

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/strict"
)

// TestSealingKeysAreRead in each of their forms, and are not said back when they are in none.
func TestSealingKeysAreRead(t *testing.T) {
	first, second := strings.Repeat("5a", 32), base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	read := func(text string) (int, error) {
		file := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := new(secrets).sealingKeys(t.Context(), []strict.Ref{{Scheme: "file", Name: file}})
		return len(keys), err
	}
	if n, err := read(first + "\n" + second + "\n"); n != 2 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
	for _, bad := range []string{"", "\n", first[2:], second + "x", "hunter2"} {
		if _, err := read(bad); err == nil || bad != "" && strings.TrimSpace(bad) != "" && strings.Contains(err.Error(), strings.TrimSpace(bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Setenv("SOME_KEY", first)
	if keys, err := new(secrets).sealingKeys(t.Context(), []strict.Ref{{Scheme: "env", Name: "SOME_KEY"}}); len(keys) != 1 || err != nil {
		t.Errorf("from the environment: %d, %v", len(keys), err)
	}
	if _, err := new(secrets).sealingKeys(t.Context(), []strict.Ref{{Scheme: "env", Name: "NO_SUCH_KEY"}}); err == nil {
		t.Error("a variable that is not set is no error")
	}
}
