package audit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
)

func idsOf(entries []audit.Entry, k audit.Kind) (ids []string) {
	for _, e := range entries {
		if e.Kind == k {
			ids = append(ids, e.Decision)
		}
	}
	return ids
}

func TestTailReadsThroughAllSegments(t *testing.T) {
	dir, ids := threeSegments(t)
	events := all(t, dir, audit.TailConfig{})
	if diff := cmp.Diff(ids, idsOf(events, audit.KindDecision)); diff != "" {
		t.Errorf("decisions (-written +read):\n%s", diff)
	}
	every := all(t, dir, audit.TailConfig{Own: true})
	for i, e := range every {
		if e.Seq != uint64(i+1) {
			t.Fatalf("entry %d has number %d", i, e.Seq)
		}
	}
	if first := every[0]; first.Kind != audit.KindSegment || first.Segment != 1 || len(first.Prev) != 64 {
		t.Errorf("the first entry is %+v", first)
	}
	for _, from := range []int{1, 2, 9, len(every) / 2, len(every)} {
		got := all(t, dir, audit.TailConfig{Own: true, From: uint64(from)})
		if diff := cmp.Diff(every[from-1:], got); diff != "" {
			t.Errorf("from %d:\n%s", from, diff)
		}
	}
	for _, last := range []int{1, 3, 12, len(events), len(events) + 1} {
		want := events[max(len(events)-last, 0):]
		if diff := cmp.Diff(want, all(t, dir, audit.TailConfig{Last: last})); diff != "" {
			t.Errorf("the last %d:\n%s", last, diff)
		}
	}
}

func TestTailFollowsAcrossRotation(t *testing.T) {
	l, dir := open(t, audit.Config{SegmentBytes: 8 << 10})
	ids := acts(t, l, 3)
	got := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e, err := range audit.Tail(ctx, dir, audit.TailConfig{Follow: true, Poll: time.Millisecond}) {
			if err != nil {
				t.Error(err)
				return
			}
			if e.Kind == audit.KindDecision {
				got <- e.Decision
			}
		}
	}()
	expect := func(ids []string) {
		t.Helper()
		for i, want := range ids {
			select {
			case id := <-got:
				if id != want {
					t.Fatalf("decision %d is %s, want %s", i, id, want)
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("decision %d did not come", i)
			}
		}
	}
	for n := range 3 {
		ids = append(ids, acts(t, l, 5)...)
		record(t, l, big())
		awaitFile(t, filepath.Join(dir, []string{"00000002.jsonl", "00000003.jsonl", "00000004.jsonl"}[n]))
	}
	expect(append(ids, acts(t, l, 1)...))                                   // the last in segment 4
	if err := os.Remove(filepath.Join(dir, "00000004.jsonl")); err != nil { // the log puts it back as a new file
		t.Fatal(err)
	}
	for range 3 {
		one := acts(t, l, 1)
		awaitFile(t, filepath.Join(dir, "00000004.jsonl"))
		expect(append(one, acts(t, l, 1)...))
	}
	cancel()
	<-done
}

func TestTailStopsWhenItsReaderDoes(t *testing.T) {
	dir, _ := threeSegments(t)
	n := 0
	for range audit.Tail(t.Context(), dir, audit.TailConfig{Follow: true}) {
		if n++; n == 3 {
			break
		}
	}
}

// A line that is not whole yet is not yielded, and is when it is.
func TestTailWaitsForTheEndOfALine(t *testing.T) {
	f, ids := killed(t, 2)
	whole := f[firstSegment]
	f[firstSegment] = whole[:len(whole)-100]
	dir := f.store(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var outcomes []string
	for e, err := range audit.Tail(ctx, dir, audit.TailConfig{Follow: true, Poll: time.Millisecond}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == audit.KindDecision && e.Decision == ids[1] { // after it has met the end a few times
			time.AfterFunc(20*time.Millisecond, func() { _ = os.WriteFile(filepath.Join(dir, firstSegment), whole, 0o600) })
		}
		if e.Kind == audit.KindOutcome {
			if outcomes = append(outcomes, e.Decision); len(outcomes) == 2 {
				break
			}
		}
	}
	if !slices.Equal(outcomes, ids) {
		t.Errorf("outcomes of %v, want %v", outcomes, ids)
	}
}

func TestReadersSayWhatTheyCannotRead(t *testing.T) {
	dir, ids := threeSegments(t)
	f := load(t, dir)
	lines := f.lines(middle)
	lines[2] = []byte("no JSON, but " + ids[5] + "\n")
	f.setLines(middle, lines)
	broken := f.store(t)
	var last error
	for _, err := range audit.Tail(t.Context(), broken, audit.TailConfig{}) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), middle+":3") {
		t.Errorf("Tail says %v", last)
	}
	if _, err := audit.Find(broken, ids[5]); err == nil {
		t.Error("Find read a line that is none")
	}
	for _, err := range audit.Tail(t.Context(), filepath.Join(dir, "nothing"), audit.TailConfig{Last: 3}) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Tail of nothing says %v", err)
		}
	}
}

func TestFind(t *testing.T) {
	dir, ids := threeSegments(t)
	for _, id := range ids {
		got, err := audit.Find(dir, id)
		if err != nil || len(got) != 2 || got[0].Kind != audit.KindDecision || got[1].Kind != audit.KindOutcome {
			t.Fatalf("found %+v of %s: %v", got, id, err)
		}
		if got[0].Resource != "credential/crm/login" || got[1].Version != 3 || got[0].Line == 0 {
			t.Errorf("found %+v", got)
		}
	}
	for _, id := range []string{audit.NewID(), "d-1", "crm/login", "", strings.Repeat("x", 5000)} {
		if got, err := audit.Find(dir, id); err == nil {
			t.Errorf("found %+v of %q", got, id)
		} else if k := fault.KindOf(err); k != fault.NotFound && k != fault.InvalidRequest {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// The clocks of a broker and of its audit log are one, but an id can be from before a segment and its
// entry in it; and an id that is not ours is looked for everywhere.
func TestFindAcrossSegments(t *testing.T) {
	l, dir := open(t, audit.Config{SegmentBytes: 8 << 10})
	late, foreign := audit.NewID(), "somebody-elses-id"
	withdrawn := decision(late)
	withdrawn.Allow = false
	record(t, l, decision(late), decision(foreign), withdrawn, big())
	awaitFile(t, filepath.Join(dir, "00000002.jsonl"))
	record(t, l, outcome(late), outcome(foreign))
	for _, id := range []string{late, foreign} {
		got, err := audit.Find(dir, id)
		if err != nil || len(got) < 2 || got[len(got)-1].File != "00000002.jsonl" {
			t.Errorf("found %+v of %s: %v", got, id, err)
		}
	}
}
