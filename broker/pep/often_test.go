package pep_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// count is a recorder that remembers what was written.
type count struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (c *count) Record(_ context.Context, e audit.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.events = append(c.events, e)
	}
	return c.err
}

// of returns how many events of a kind there are.
func (c *count) of(kind audit.Kind) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// TestOften: many at once are one decision in the log, with its outcome, and all have its id.
func TestOften(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 30, 0, time.UTC)
	who := workload()
	who.Workload.NotAfter = now.Add(time.Hour)
	ctx, log, o := as(t.Context(), who), &count{}, &pep.Often[string]{}
	p := &pep.Point{Decider: snapshot(t, rules), Recorder: log, Now: func() time.Time { return now }}
	ids := make([]string, 50)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			g, err := o.Check(ctx, p, "page", "vend", login)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = g.ID
			g.Done(pep.Outcome{})
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != log.events[0].Decision {
			t.Fatalf("an answer has %s, the log %s", id, log.events[0].Decision)
		}
	}
	if log.of(audit.KindDecision) != 1 || log.of(audit.KindOutcome) != 1 {
		t.Fatalf("%d decisions, %d outcomes", log.of(audit.KindDecision), log.of(audit.KindOutcome))
	}
	for what, step := range map[string]func(){
		"another act":    func() { _, _ = o.Check(ctx, p, "other page", "vend", login) },
		"another minute": func() { now = now.Add(time.Minute); _, _ = o.Check(ctx, p, "page", "vend", login) },
		"another policy": func() {
			p.Decider = snapshot(t, rules+"# a comment\np, spiffe://a.test/x, vend, credential/y, allow\n")
			_, _ = o.Check(ctx, p, "page", "vend", login)
		},
	} {
		before := log.of(audit.KindDecision)
		if step(); log.of(audit.KindDecision) != before+1 {
			t.Errorf("%s: not written", what)
		}
	}
}

// TestOftenFailsClosed: a refusal is decided and written each time, also when a yes came before; and a log that
// takes nothing stops the first.
func TestOftenFailsClosed(t *testing.T) {
	log, o, ctx := &count{}, &pep.Often[string]{}, as(t.Context(), workload())
	p := &pep.Point{Decider: snapshot(t, rules), Recorder: log}
	if _, err := o.Check(ctx, p, "page", "vend", login); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		_, err := o.Check(ctx, p, "page", "vend", policy.Entity{Type: "credential", ID: "crm/root"})
		if fault.KindOf(err) != fault.Denied || log.of(audit.KindDecision) != n+2 {
			t.Errorf("%v, %d written", err, log.of(audit.KindDecision))
		}
	}
	log.err = fault.New(fault.Unavailable, audit.ReasonFailed, "full")
	for range 2 {
		if _, err := o.Check(ctx, p, "new page", "vend", login); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a full log: %v", err)
		}
	}
}
