package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/audit"
)

// open opens a log in a directory of its own, or in cfg.Dir, and closes it with the test.
func open(t testing.TB, cfg audit.Config) (*audit.Log, string) {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "audit")
	}
	if cfg.Reserve == 0 {
		cfg.Reserve = 64 << 10
	}
	l, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, cfg.Dir
}

func decision(id string) audit.Event {
	return audit.Event{
		Kind: audit.KindDecision, Decision: id, Subject: "spiffe://example.test/orders", Proof: "x509-svid",
		Action: "vend", Resource: "credential/crm/login", Allow: true, Rule: "policy.csv:12", Revision: "r1",
		Trace: "4bf92f3577b34da6a3ce929d0e0e4736",
	}
}

func outcome(id string) audit.Event {
	return audit.Event{
		Kind: audit.KindOutcome, Decision: id, Credential: "crm/login", Version: 3, Result: "ok", Bytes: 120,
		Duration: 3 * time.Millisecond,
	}
}

func record(t testing.TB, l *audit.Log, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if err := l.Record(t.Context(), e); err != nil {
			t.Fatalf("record %s %s: %v", e.Kind, e.Decision, err)
		}
	}
}

// acts records n decisions with their outcomes and returns their ids.
func acts(t testing.TB, l *audit.Log, n int) (ids []string) {
	t.Helper()
	for range n {
		id := audit.NewID()
		record(t, l, decision(id), outcome(id))
		ids = append(ids, id)
	}
	return ids
}

func verify(t testing.TB, dir string) audit.Report {
	t.Helper()
	r, err := audit.Verify(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustClean(t testing.TB, dir string) audit.Report {
	t.Helper()
	r := verify(t, dir)
	if r.Broken != nil || r.TornTail != 0 {
		t.Fatalf("the log is not clean: broken %v, torn tail %d", r.Broken, r.TornTail)
	}
	return r
}

func mustClose(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func all(t testing.TB, dir string, cfg audit.TailConfig) (entries []audit.Entry) {
	t.Helper()
	for e, err := range audit.Tail(t.Context(), dir, cfg) {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestEventsComeBackAsTheyWere(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.UTC)
	l, dir := open(t, audit.Config{Now: func() time.Time { return now }})
	full := audit.Event{
		Decision: audit.NewID(), Kind: audit.KindDecision, Time: now.Add(time.Second), Subject: "spiffe://a.test/x",
		User: "user:https://idp.test|me", Groups: []string{"g1", "g2"}, Actors: []string{"spiffe://a.test/y"},
		Proof: "x509-svid+oidc", Action: "call", Resource: "service/crm/GET/a b", Rule: "p.csv:1", Revision: "r",
		Allow: true, Trace: "t", Credential: "c", Version: 1 << 63, Result: "denied", Bytes: -1, Duration: 5, Why: "because \"so\" \\ ok",
	}
	bare := audit.Event{Kind: audit.KindAdmin}
	record(t, l, full, bare)

	got := all(t, dir, audit.TailConfig{})
	if len(got) != 2 {
		t.Fatalf("got %d entries, want 2", len(got))
	}
	full.Time, bare.Time = full.Time.Truncate(time.Microsecond), now.Truncate(time.Microsecond)
	for i, want := range []audit.Event{full, bare} {
		if diff := cmp.Diff(want, got[i].Event); diff != "" {
			t.Errorf("entry %d (-want +got):\n%s", i, diff)
		}
	}
	if e := got[1]; e.Seq != got[0].Seq+1 || e.File != "00000001.jsonl" || e.Line != got[0].Line+1 || len(e.Hash) != 64 {
		t.Errorf("the entry's place is %s:%d seq %d hash %q", e.File, e.Line, e.Seq, e.Hash)
	}
}

func TestReportCounts(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 3)
	open := decision(audit.NewID())
	denied := decision(audit.NewID())
	denied.Allow = false
	record(t, l, open, denied, audit.Event{Kind: audit.KindAdmin, Action: "put"})
	mustClose(t, l)

	r := mustClean(t, dir)
	if r.Decisions != 5 || r.Denied != 1 || r.Outcomes != 3 || r.Admin != 1 || r.Restarts != 1 || r.Segments != 1 {
		t.Errorf("counts are wrong: %+v", r)
	}
	if r.UnknownCount != 1 || len(r.Unknown) != 1 || r.Unknown[0].Decision != open.Decision || r.Unknown[0].Line == 0 {
		t.Errorf("unknown = %d %+v, want the decision without an outcome", r.UnknownCount, r.Unknown)
	}
	if r.First != 1 || r.Covered != r.Last-1 || r.Outside {
		t.Errorf("the last checkpoint covers %d of %d to %d", r.Covered, r.First, r.Last)
	}
}

func TestOneWriterPerDirectory(t *testing.T) {
	l, dir := open(t, audit.Config{})
	if _, err := audit.Open(audit.Config{Dir: dir}); !errors.Is(err, audit.ErrLocked) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second Open: %v", err)
	}
	mustClose(t, l)
	again, _ := open(t, audit.Config{Dir: dir})
	acts(t, again, 1)
	time.AfterFunc(50*time.Millisecond, func() { _ = again.Close() }) // a predecessor that is about to end
	third, _ := open(t, audit.Config{Dir: dir})
	acts(t, third, 1)
	mustClose(t, third)
	if r := mustClean(t, dir); r.Restarts != 3 {
		t.Errorf("%d restarts, want 3", r.Restarts)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	_, dir := open(t, audit.Config{})
	for name, want := range map[string]os.FileMode{
		".": os.ModeDir | 0o700, "key": 0o600, "key.pub": 0o644, "head": 0o600, "00000001.jsonl": 0o600, "reserve": 0o600, "lock": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestRecordRefuses(t *testing.T) {
	l, dir := open(t, audit.Config{})
	for _, k := range []audit.Kind{"", "other", audit.KindCheckpoint, audit.KindSegment, audit.KindOpen, audit.KindPrune} {
		if err := l.Record(t.Context(), audit.Event{Kind: k}); err == nil {
			t.Errorf("an event of kind %q was recorded", k)
		}
	}
	mustClose(t, l)
	if err := l.Record(t.Context(), decision("d-1")); err == nil {
		t.Error("a closed log recorded")
	}
	if err := l.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if r := mustClean(t, dir); r.Decisions != 0 {
		t.Errorf("%d decisions in the log", r.Decisions)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]audit.Config{
		"no directory":  {},
		"unknown sync":  {Dir: t.TempDir(), Sync: "sometimes"},
		"negative size": {Dir: t.TempDir(), SegmentBytes: -1},
		"negative keep": {Dir: t.TempDir(), Keep: -1},
	} {
		if l, err := audit.Open(cfg); err == nil {
			_ = l.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

// A caller that has gone away must not be told that it may act.
func TestRecordRefusesAnEndedContext(t *testing.T) {
	l, dir := open(t, audit.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if err := l.Record(ctx, decision(audit.NewID())); !errors.Is(err, context.Canceled) {
			t.Fatalf("Record with an ended context: %v", err)
		}
	}
	mustClose(t, l)
	if r := mustClean(t, dir); r.Decisions != 0 {
		t.Errorf("%d decisions in the log", r.Decisions)
	}
}
