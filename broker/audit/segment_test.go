package audit_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/patience"
)

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	patience.Until(t, what, holds)
}

func segments(t testing.TB, dir string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// clock is a Now that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func TestManyWritersAndManySegments(t *testing.T) {
	for _, sync := range []audit.Sync{audit.SyncInterval, audit.SyncAlways} {
		t.Run(string(sync), func(t *testing.T) {
			l, dir := open(t, audit.Config{Sync: sync, SegmentBytes: 32 << 10, CheckpointEvery: 10 * time.Millisecond})
			const writers, each = 16, 20
			runWriters(t, l, writers, each)
			awaitFile(t, filepath.Join(dir, "00000002.jsonl")) // there is enough for it
			mustClose(t, l)
			r := mustClean(t, dir)
			if r.Decisions != writers*each || r.Outcomes != writers*each || r.UnknownCount != 0 {
				t.Errorf("%d decisions and %d outcomes, want %d", r.Decisions, r.Outcomes, writers*each)
			}
			if r.Segments < 2 || r.Checkpoints < r.Segments {
				t.Errorf("%d segments with %d checkpoints", r.Segments, r.Checkpoints)
			}
		})
	}
}

func runWriters(t *testing.T, l *audit.Log, writers, each int) {
	t.Helper()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				id := audit.NewID()
				if err := errors.Join(l.Record(t.Context(), decision(id)), l.Record(t.Context(), outcome(id))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestSegmentsEndWithAgeAndAreKeptAsConfigured(t *testing.T) {
	c := newClock()
	l, dir := open(t, audit.Config{Now: c.now, SegmentAge: time.Hour, Keep: 3 * time.Hour, CheckpointEvery: 5 * time.Millisecond})
	next := func(n int) string { return filepath.Join(dir, fmt.Sprintf("%08d.jsonl", n)) }
	for n := 1; n <= 3; n++ {
		acts(t, l, 1)
		c.advance(time.Hour)
		awaitFile(t, next(n+1))
	}
	eventually(t, "the first segment is deleted two hours after its end", func() bool {
		acts(t, l, 1)
		c.advance(time.Minute)
		return len(segments(t, dir)) > 0 && segments(t, dir)[0] != "00000001.jsonl"
	})
	mustClose(t, l)
	if r := mustClean(t, dir); r.First == 1 || r.UnknownCount != 0 {
		t.Errorf("the log begins at entry %d", r.First)
	}
	// A second life of the process goes on behind what was deleted.
	again, _ := open(t, audit.Config{Dir: dir, Now: c.now})
	acts(t, again, 1)
	mustClose(t, again)
	mustClean(t, dir)

	// One more segment than the log says it deleted is one too many.
	if err := os.Remove(filepath.Join(dir, segments(t, dir)[0])); err != nil {
		t.Fatal(err)
	}
	if b := verify(t, dir).Broken; b == nil || b.Breach != audit.Removed {
		t.Errorf("a stolen first segment: %v", b)
	}
}

func TestAnIdleLogMakesNoFilesAndNoEntries(t *testing.T) {
	c := newClock()
	l, dir := open(t, audit.Config{Now: c.now, SegmentAge: time.Hour, CheckpointEvery: time.Millisecond})
	acts(t, l, 1)
	c.advance(2 * time.Hour)
	awaitFile(t, filepath.Join(dir, "00000002.jsonl"))
	eventually(t, "the new segment is signed", func() bool { return verify(t, dir).Checkpoints == 3 })
	before := verify(t, dir).Last
	c.advance(100 * time.Hour)
	time.Sleep(50 * time.Millisecond) // what must not happen has no event to wait for
	if after := verify(t, dir).Last; after != before || len(segments(t, dir)) != 2 {
		t.Errorf("an idle log grew from entry %d to %d in %v", before, after, segments(t, dir))
	}
}

// A log that goes on into a file that nobody can find any more is the quietest way to lose it.
func TestADeletedSegmentIsPutBack(t *testing.T) {
	for name, remove := range map[string]func(path string) error{
		"deleted":  os.Remove,
		"moved":    func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, []byte("x"), 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, dir := open(t, audit.Config{})
			acts(t, l, 3)
			if err := remove(filepath.Join(dir, "00000001.jsonl")); err != nil {
				t.Fatal(err)
			}
			acts(t, l, 2)
			if err := l.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
			mustClose(t, l)
			if r := mustClean(t, dir); r.Outcomes != 5 {
				t.Errorf("%d outcomes, want 5", r.Outcomes)
			}
		})
	}
}

func TestADeletedDirectoryRefuses(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var err error
	eventually(t, "Record refuses", func() bool {
		err = l.Record(t.Context(), decision(audit.NewID()))
		return err != nil
	})
	if f := fault.From(err); f.Kind != fault.Unavailable || f.Reason != audit.ReasonFailed {
		t.Errorf("Record into a deleted directory: %v", err)
	}
	if l.Ready() == nil {
		t.Error("ready without a directory")
	}
}

// remoteSigner is a signer that is somewhere else, and calls before first.
type remoteSigner struct {
	key    ed25519.PrivateKey
	before atomic.Pointer[func(context.Context) error]
}

func newRemoteSigner(t testing.TB) (*remoteSigner, ed25519.PublicKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &remoteSigner{key: key}, public
}

func (s *remoteSigner) Sign(ctx context.Context, message []byte) (audit.Signature, error) {
	if before := s.before.Load(); before != nil {
		if err := (*before)(ctx); err != nil {
			return audit.Signature{}, err
		}
	}
	return audit.Signature{Key: s.key.Public().(ed25519.PublicKey), Bytes: ed25519.Sign(s.key, message)}, nil
}

// hang is what a signer does that does not answer.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestASignerThatHangsHoldsNobodyUp(t *testing.T) {
	s, public := newRemoteSigner(t)
	l, dir := open(t, audit.Config{Signer: s, SegmentBytes: 1, CheckpointEvery: time.Millisecond})
	hangs := hang
	s.before.Store(&hangs)
	start := time.Now()
	for time.Since(start) < 100*time.Millisecond {
		acts(t, l, 1)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("recording took %v", took)
	}
	s.before.Store(nil)
	mustClose(t, l)
	r, err := audit.Verify(dir, public)
	if err != nil || r.Broken != nil || r.Covered < r.Last-1 {
		t.Errorf("signed from elsewhere: %v, %d of %d covered, %v", r.Broken, r.Covered, r.Last, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "key")); err == nil {
		t.Error("a log with a signer of its own made a key")
	}
}

// While the end of a segment waits for its signature writers wait too, but not longer than they want.
func TestRecordWaitsNoLongerThanItsContext(t *testing.T) {
	s, _ := newRemoteSigner(t)
	l, _ := open(t, audit.Config{Signer: s, SegmentBytes: 1, CheckpointEvery: time.Hour})
	hanging := make(chan struct{})
	calls := 0
	before := func(ctx context.Context) error {
		if calls++; calls == 1 { // the bulk; what comes after it leaves something for the end
			return l.Record(ctx, decision(audit.NewID()))
		}
		close(hanging)
		return hang(ctx)
	}
	s.before.Store(&before)
	record(t, l, decision(audit.NewID()))
	<-hanging
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := l.Record(ctx, decision(audit.NewID()))
	if !errors.Is(err, fault.Timeout) || fault.From(err).Reason != audit.ReasonSlow {
		t.Errorf("Record said %v", err)
	}
	s.before.Store(nil)
}
