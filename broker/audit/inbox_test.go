package audit_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

// find returns no entries where there are none.
func find(dir, id string) []audit.Entry {
	entries, _ := audit.Find(dir, id)
	return entries
}

// TestAppendBesideARunningLog posts while the log is held, and finds the entry in the chain soon after.
func TestAppendBesideARunningLog(t *testing.T) {
	dir := t.TempDir()
	l, err := audit.Open(audit.Config{Dir: dir, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	id := audit.NewID()
	if err := audit.Append(t.Context(), dir, audit.Event{Decision: id, Kind: audit.KindDecision, Action: "deny-now", Allow: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "inbox", "0.json"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); len(find(dir, id)) == 0; {
		if time.Now().After(end) {
			t.Fatal("what was posted did not reach the chain")
		}
		<-time.After(10 * time.Millisecond)
	}
	if e := find(dir, id)[0]; e.Kind != audit.KindAdmin || e.Action != "deny-now" {
		t.Errorf("the entry is %+v: only admin entries are posted", e.Event)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report, err := audit.Verify(dir, nil); err != nil || report.Broken != nil {
		t.Errorf("the log does not verify: %v, %v", report.Broken, err)
	}
}

// TestAppendAlone records without a process, and takes what a dead one had not.
func TestAppendAlone(t *testing.T) {
	dir := t.TempDir()
	first, second := audit.NewID(), audit.NewID()
	if err := audit.Append(t.Context(), dir, audit.Event{Decision: first, Action: "credential-put"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "inbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	posted := []byte(`{"decision":"` + second + `","kind":"admin","action":"deny-now"}`)
	if err := os.WriteFile(filepath.Join(dir, "inbox", second+".json"), posted, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := audit.Append(t.Context(), dir, audit.Event{Decision: audit.NewID(), Action: "credential-get"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{first, second} {
		if len(find(dir, id)) != 1 {
			t.Errorf("%s is not in the log once", id)
		}
	}
}
