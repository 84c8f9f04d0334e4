package policy_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
)

// TestArchiveThatIsNotWhatItSays is refused, and the old policy stays.
func TestArchiveThatIsNotWhatItSays(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), ok)
	e, err := policy.Open(t.Context(), policy.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	revision, archive, err := e.Archive()
	if err != nil {
		t.Fatal(err)
	}
	held, err := policy.OpenArchive(t.Context(), policy.Config{}, revision, archive)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, held, true)
	for name, bad := range map[string]struct{ revision, archive string }{
		"another text":  {"123456789abc", string(archive)},
		"cut off":       {"123456789abc", string(archive[:len(archive)/2])},
		"nothing":       {"123456789abc", ""},
		"a broken rule": {"", "-- model.conf --\n-- policy.csv --\np, x\n"},
	} {
		if err := held.Load(t.Context(), bad.revision, []byte(bad.archive)); err == nil {
			t.Errorf("%s was put in force", name)
		}
		wants(t, held, true)
		if _, err := policy.OpenArchive(t.Context(), policy.Config{}, bad.revision, []byte(bad.archive)); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if err := held.Load(t.Context(), revision, []byte(strings.Repeat("x", 10))); err != nil {
		t.Errorf("what is held already: %v", err)
	}
}
