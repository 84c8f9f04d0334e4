package sealed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/credentialtest"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

func TestContract(t *testing.T) {
	credentialtest.Run(t, func(t *testing.T) credential.Store { return open(t, config(t)) })
}

func config(t *testing.T) sealed.Config {
	t.Helper()
	return sealed.Config{Path: filepath.Join(t.TempDir(), "credentials.sealed"), Key: sealed.NewKey(), Poll: time.Nanosecond}
}

func open(t *testing.T, cfg sealed.Config) *sealed.Store {
	t.Helper()
	s, err := sealed.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *sealed.Store, name credential.Name, value string) uint64 {
	t.Helper()
	version, err := s.Write(t.Context(), name, credential.Fields{"value": secret.FromString(value)})
	if err != nil {
		t.Fatalf("writing %s: %v", name, err)
	}
	return version
}

func get(t *testing.T, s *sealed.Store, name credential.Name) string {
	t.Helper()
	c, err := s.Read(t.Context(), name)
	if err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return string(c.Fields["value"].Reveal())
}

func wantReason(t *testing.T, err error, reason, hint string) {
	t.Helper()
	if e := fault.From(err); err == nil || e.Reason != reason || !strings.Contains(err.Error(), hint) {
		t.Errorf("got %v (%s); want %s and %q", err, e.Reason, reason, hint)
	}
}

func TestWhatIsOnTheDisk(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	put(t, s, "crm/login", "pl4nted")
	entries, err := os.ReadDir(filepath.Dir(cfg.Path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
		data, err := os.ReadFile(filepath.Join(filepath.Dir(cfg.Path), e.Name()))
		if err != nil || bytes.Contains(data, []byte("pl4nted")) || bytes.Contains(data, []byte("crm")) {
			t.Errorf("%s tells what it holds, %v", e.Name(), err)
		}
	}
	if got := get(t, open(t, cfg), "crm/login"); got != "pl4nted" {
		t.Errorf("opened again: %q", got)
	}
}

// TestNoUnreadableFileIsOverwritten: each sort of damage has its own reason, at the start and while running,
// and neither start nor write changes the file.
func TestNoUnreadableFileIsOverwritten(t *testing.T) {
	for _, c := range []struct {
		reason, hint string
		damage       func(file []byte) []byte
	}{
		{"STORE_TRUNCATED", "has 0 bytes", func(f []byte) []byte { return nil }},
		{"STORE_TRUNCATED", "has 40 bytes", func(f []byte) []byte { return f[:40] }},
		{"STORE_TRUNCATED", "were written", func(f []byte) []byte { return f[:len(f)-1] }},
		{"STORE_TAMPERED", "were changed", func(f []byte) []byte { f[len(f)-20] ^= 1; return f }},
		{"STORE_TAMPERED", "3 bytes were added", func(f []byte) []byte { return append(f, "abc"...) }},
		{"STORE_FORMAT", "is of format 2", func(f []byte) []byte { f[16] = 2; return f }},
		{"STORE_NOT_SEALED", "is not a sealed file", func(f []byte) []byte { return []byte("credentials: {}\n") }},
		{"STORE_WRONG_KEY", "is sealed with key", func(f []byte) []byte { f[17] ^= 1; return f }},
	} {
		t.Run(c.reason+" "+c.hint, func(t *testing.T) {
			cfg := config(t)
			running := open(t, cfg)
			put(t, running, "crm/login", "one")
			file, err := os.ReadFile(cfg.Path)
			if err != nil {
				t.Fatal(err)
			}
			damaged := c.damage(file)
			if err := os.WriteFile(cfg.Path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = sealed.Open(cfg)
			wantReason(t, err, c.reason, c.hint)
			wantReason(t, err, c.reason, cfg.Path)
			wantReason(t, running.Ready(), c.reason, c.hint)
			_, err = running.Read(t.Context(), "crm/login")
			wantReason(t, err, c.reason, c.hint)
			_, err = running.Write(t.Context(), "crm/login", credential.Fields{"value": secret.FromString("two")})
			wantReason(t, err, c.reason, c.hint)
			wantReason(t, running.Rekey(t.Context(), sealed.NewKey()), c.reason, c.hint)
			if strings.Contains(fault.From(err).Message, cfg.Path) {
				t.Errorf("callers learn the path: %s", fault.From(err).Message)
			}
			if after, err := os.ReadFile(cfg.Path); err != nil || !bytes.Equal(after, damaged) {
				t.Errorf("the damaged file was overwritten, %v", err)
			}
		})
	}
}

// TestDamageHeals: the file comes back, and so do the answers, in a new generation.
func TestDamageHeals(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	put(t, s, "crm/login", "one")
	whole := s.Generation()
	away := cfg.Path + ".away"
	if err := os.Rename(cfg.Path, away); err != nil {
		t.Fatal(err)
	}
	_, err := s.Write(t.Context(), "crm/login", credential.Fields{"value": secret.FromString("two")})
	wantReason(t, err, "STORE_MISSING", cfg.Path)
	lost := s.Generation()
	if lost == whole || s.Generation() != lost {
		t.Errorf("generations: whole %d, lost %d", whole, lost)
	}
	if err := os.Rename(away, cfg.Path); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "crm/login"); got != "one" || s.Generation() == lost || s.Ready() != nil {
		t.Errorf("%q, generation %d, %v", got, s.Generation(), s.Ready())
	}
}

func TestMissing(t *testing.T) {
	cfg := config(t)
	cfg.MustExist = true
	_, err := sealed.Open(cfg)
	wantReason(t, err, "STORE_MISSING", cfg.Path)
	if _, err := os.Stat(cfg.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a store that must exist was created: %v", err)
	}
	cfg.MustExist, cfg.Path = false, filepath.Join(filepath.Dir(cfg.Path), "no", "such", "directory")
	_, err = sealed.Open(cfg)
	wantReason(t, err, "STORE_IO", "no such file or directory")
	for _, key := range []secret.Value{{}, secret.FromString("short")} {
		if _, err := sealed.Open(sealed.Config{Path: cfg.Path, Key: key}); err == nil || !strings.Contains(err.Error(), "want 32") {
			t.Errorf("a key of %d bytes: %v", len(key.Reveal()), err)
		}
	}
}

// TestTwoProcesses has two stores on one file, as a broker and the operator's tool are.
func TestTwoProcesses(t *testing.T) {
	cfg := config(t)
	broker, tool := open(t, cfg), open(t, cfg)
	put(t, broker, "crm/login", "one")
	before := broker.Generation()
	if version := put(t, tool, "crm/login", "two"); version != 2 {
		t.Errorf("the tool wrote version %d over the broker's 1", version)
	}
	if got := get(t, broker, "crm/login"); got != "two" || broker.Generation() == before {
		t.Errorf("the broker reads %q, generation %d then %d", got, before, broker.Generation())
	}
	if err := tool.Delete(t.Context(), "crm/login"); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Read(t.Context(), "crm/login"); !errors.Is(err, fault.NotFound) {
		t.Errorf("the broker still reads what was deleted: %v", err)
	}
	if version := put(t, broker, "crm/login", "three"); version != 3 {
		t.Errorf("version %d was used twice", version)
	}
}

// TestManyOpenAtOnce: those who find no file create one, and none creates it over what another wrote.
func TestManyOpenAtOnce(t *testing.T) {
	cfg := config(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := sealed.Open(cfg)
			if err == nil {
				_, err = s.Write(t.Context(), credential.Name(fmt.Sprintf("n/%d", i)), credential.Fields{"value": {}})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if names, err := open(t, cfg).List(t.Context(), "n"); err != nil || len(names) != 8 {
		t.Errorf("found %q, %v", names, err)
	}
}

// TestLinkIsFollowed: the file is replaced where it is, and the link to it stays.
func TestLinkIsFollowed(t *testing.T) {
	cfg := config(t)
	open(t, cfg)
	link := cfg
	link.Path = filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(cfg.Path, link.Path); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, link), "crm/login", "one")
	if info, err := os.Lstat(link.Path); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info.Mode(), err)
	}
	if got := get(t, open(t, cfg), "crm/login"); got != "one" {
		t.Errorf("got %q", got)
	}
}

func TestNoChangeNoGeneration(t *testing.T) {
	s := open(t, config(t))
	put(t, s, "crm/login", "one")
	before := s.Generation()
	if err := s.Delete(t.Context(), "never/was"); err != nil {
		t.Fatal(err)
	}
	if after := s.Generation(); after != before {
		t.Errorf("generation %d became %d, and nothing changed", before, after)
	}
}

func TestPollIsHeld(t *testing.T) {
	cfg := config(t)
	now := time.Now()
	tool := open(t, cfg)
	cfg.Poll, cfg.Now = 0, func() time.Time { return now }
	broker := open(t, cfg)
	put(t, tool, "crm/login", "one")
	now = now.Add(250*time.Millisecond - 1)
	if _, err := broker.Read(t.Context(), "crm/login"); !errors.Is(err, fault.NotFound) {
		t.Errorf("the file was looked at before its time: %v", err)
	}
	now = now.Add(1)
	if got := get(t, broker, "crm/login"); got != "one" {
		t.Errorf("got %q", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	cfg := config(t)
	cfg.Keep = 3
	s := open(t, cfg)
	for _, v := range []string{"one", "two", "three", "four", "five"} {
		put(t, s, "crm/login", v)
	}
	all, err := s.History(t.Context(), "crm/login")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range all {
		got = append(got, string(c.Fields["value"].Reveal()))
	}
	if want := []string{"five", "four", "three"}; !cmp.Equal(got, want) || all[0].Version != 5 || all[2].Version != 3 {
		t.Errorf("kept %q", got)
	}
	if _, err := s.History(t.Context(), "nobody"); !errors.Is(err, fault.NotFound) {
		t.Errorf("history of what never was: %v", err)
	}
}

func TestExport(t *testing.T) {
	s := open(t, config(t))
	put(t, s, "crm/login", "<&>\u2028")
	put(t, s, "a", "old")
	put(t, s, "a", "\xff")
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Credentials []struct {
			Name    string
			Version int
			Fields  map[string]string
			Base64  map[string][]byte
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if c := got.Credentials; len(c) != 2 || c[0].Version != 2 || string(c[0].Base64["value"]) != "\xff" || c[1].Fields["value"] != "<&>\u2028" {
		t.Errorf("exported:\n%s", &out)
	}
}

// TestLockIsWaitedFor holds the lock as another process does that was stopped.
func TestLockIsWaitedFor(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	put(t, s, "crm/login", "one")
	f, err := os.Open(cfg.Path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = s.Write(ctx, "crm/login", credential.Fields{"value": secret.FromString("two")})
	if wantReason(t, err, "STORE_LOCKED", "deadline exceeded"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not wrap the context's error", err)
	}
	if got := get(t, s, "crm/login"); got != "one" {
		t.Errorf("readers do not go on: %q", got)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, s, "crm/login", "two")
}
