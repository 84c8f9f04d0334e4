package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
)

// versions puts n policies after each other into dir, and returns their revisions.
func versions(t *testing.T, e *policy.Engine, dir string, n int) (revisions []string) {
	t.Helper()
	for i := range n {
		changes(t, e, fmt.Sprint("version ", i), func() {
			replace(t, filepath.Join(dir, "policy.csv"), fmt.Sprintf("p, spiffe://a.test/x, call, service/v%d, allow\n", i))
		})
		revisions = append(revisions, e.Current().Revision())
	}
	return revisions
}

// TestRevisions asks policies of the past what they said, in this process and in the next.
func TestRevisions(t *testing.T) {
	dir, history := t.TempDir(), filepath.Join(t.TempDir(), "kept")
	write(t, filepath.Join(dir, "policy.csv"), ok)
	e := run(t, policy.Config{Dir: dir, History: history, Keep: 3})
	first := e.Current().Revision()
	revisions := versions(t, e, dir, 3)

	again, err := policy.Open(t.Context(), policy.Config{Dir: dir, History: history, Keep: 3})
	if err != nil {
		t.Fatal(err)
	}
	for i, revision := range revisions {
		for name, at := range map[string]func(string) (*policy.Snapshot, bool){
			"memory": e.At, "restarted": again.At,
			"offline": func(r string) (*policy.Snapshot, bool) { return policy.LoadRevision(history, r) },
		} {
			s, found := at(revision)
			if !found || s.Revision() != revision {
				t.Errorf("%s: revision %s is gone", name, revision)
			} else if !decide(t, s, fmt.Sprintf("spiffe://a.test/x call service/v%d", i)).Allow {
				t.Errorf("%s: revision %s is another policy", name, revision)
			}
		}
	}
	if _, found := e.At(first); found {
		t.Error("the fourth revision back is still kept")
	}
	if entries, _ := os.ReadDir(history); len(entries) != 3 {
		t.Errorf("%d files are kept", len(entries))
	}
}

func TestRevisionsInMemory(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.csv"), ok)
	e := run(t, policy.Config{Dir: dir})
	first := e.Current().Revision()
	changes(t, e, "own model", func() { replace(t, filepath.Join(dir, "model.conf"), plainModel(t)) })
	second := e.Current().Revision()
	versions(t, e, dir, 1)
	if s, found := e.At(first); !found || s.Custom() || !decide(t, s, question).Allow {
		t.Error("the first revision is gone or another")
	}
	if s, found := e.At(second); !found || !s.Custom() || !decide(t, s, question).Allow {
		t.Error("the second revision is gone or another")
	}
}

// TestForgedRevision: a file in the history is believed when it is what its name says, and no name leads
// out of the directory.
func TestForgedRevision(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "0123456789ab.txtar"), "-- policy.csv --\n"+ok+"\n")
	write(t, filepath.Join(filepath.Dir(dir), "up.txtar"), "-- policy.csv --\n")
	for _, name := range []string{"0123456789ab", "../up", "", "missing", "/etc/passwd"} {
		if _, found := policy.LoadRevision(dir, name); found {
			t.Errorf("%q is believed", name)
		}
	}
}
