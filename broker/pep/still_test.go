package pep_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// swap is a policy that changes.
type swap struct {
	now atomic.Pointer[policy.Snapshot]
}

func (s *swap) Decide(ctx context.Context, r policy.Request) (policy.Decision, error) {
	return s.now.Load().Decide(ctx, r)
}

func TestStillUnderANewerPolicy(t *testing.T) {
	l, dir := openLog(t)
	engine := new(swap)
	engine.now.Store(snapshot(t, rules))
	p := &pep.Point{Decider: engine, Recorder: l}
	g, err := p.Check(as(t.Context(), workload()), policy.ActionVend, login)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.Still(t.Context(), g); err != nil {
			t.Fatalf("the same policy: %v", err)
		}
	}
	if events := find(t, dir, g.ID); len(events) != 1 {
		t.Errorf("asking again was recorded: %+v", events)
	}
	engine.now.Store(snapshot(t, rules+"p, spiffe://a.test/orders, vend, credential/crm/**, deny\n"))
	for range 3 {
		err = p.Still(t.Context(), g)
		if f := fault.From(err); err == nil || f.Kind != fault.Denied || f.Decision != g.ID {
			t.Fatalf("under a policy that denies: %v", err)
		}
	}
	g.Done(pep.Outcome{Err: err})
	events := find(t, dir, g.ID)
	if len(events) != 3 || events[1].Allow || events[1].Rule != "p.csv:5" || events[1].Why != "withdrawn: "+policy.ReasonDenied {
		t.Errorf("the log says %+v", events)
	}
	if events[1].Revision == events[0].Revision || events[2].Result != "denied" {
		t.Errorf("the withdrawal has revision %s, the outcome is %s", events[1].Revision, events[2].Result)
	}
	if r, err := audit.Verify(dir, nil); err != nil || r.Broken != nil || r.UnknownCount != 0 {
		t.Errorf("the log: %v, %d unknown, %v", r.Broken, r.UnknownCount, err)
	}
}

// What cannot be answered is cut, and so is what outlives its proof, whatever the log says.
func TestStillFailsClosed(t *testing.T) {
	now := time.Now()
	var answer error
	logErr := error(nil)
	p := &pep.Point{
		Decider:  decide(func(context.Context, policy.Request) (policy.Decision, error) { return yes, answer }),
		Recorder: record(func(context.Context, audit.Event) error { return logErr }),
		Now:      func() time.Time { return now },
	}
	grant := func() *pep.Grant {
		g, err := p.Check(as(t.Context(), workload()), policy.ActionVend, login)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	g, h := grant(), grant()
	if err := p.Still(t.Context(), g); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	answer = errors.New("broken")
	if err := p.Still(t.Context(), g); !errors.Is(err, fault.Unavailable) {
		t.Errorf("policy cannot answer: %v", err)
	}
	answer, logErr = nil, errFull
	if err := p.Still(t.Context(), h); err != nil {
		t.Errorf("a full log ends nothing that had begun: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if err := p.Still(t.Context(), h); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the proof ended: %v", err)
	}
}
