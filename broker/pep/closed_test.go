package pep_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

var (
	yes     = policy.Decision{Allow: true, Revision: "r1", Rule: &policy.Rule{File: "p.csv", Line: 1}}
	no      = policy.Decision{Revision: "r1", Reason: policy.ReasonUnmatched}
	errFull = fault.New(fault.Unavailable, audit.ReasonFull, "the audit log is full")
)

func answers(d policy.Decision, err error) decide {
	return func(context.Context, policy.Request) (policy.Decision, error) { return d, err }
}

func takes(err error) record { return func(context.Context, audit.Event) error { return err } }

func panics(context.Context, policy.Request) (policy.Decision, error) { panic("asked for nobody") }

// Every way in which Check can fail is a refusal, and says which.
func TestCheckFailsClosed(t *testing.T) {
	broken := errors.New("the matcher failed")
	ended, justEnded := workload(), workload()
	ended.Workload.NotAfter = time.Now().Add(-time.Minute)
	justEnded.Workload.NotAfter = time.Now().Add(-time.Second) // clocks differ
	endedUser := workload()
	endedUser.User = &identity.User{Issuer: "i", Subject: "s", NotAfter: time.Now().Add(-time.Minute)}
	halfAllowed := yes
	halfAllowed.Err = broken
	for name, c := range map[string]struct {
		who      identity.Principal
		decider  policy.Decider
		recorder audit.Recorder
		kind     fault.Kind
		reason   string
	}{
		"no principal":                        {identity.Principal{}, decide(panics), takes(nil), fault.Unauthenticated, ""},
		"a principal whose proof ended":       {ended, decide(panics), takes(nil), fault.Unauthenticated, ""},
		"a user whose proof ended":            {endedUser, decide(panics), takes(nil), fault.Unauthenticated, ""},
		"no rule":                             {workload(), answers(no, nil), takes(nil), fault.Denied, ""},
		"the zero decision":                   {workload(), answers(policy.Decision{}, nil), takes(nil), fault.Denied, ""},
		"a decision error":                    {workload(), answers(no, broken), takes(nil), fault.Unavailable, pep.ReasonPolicy},
		"a decision error that says allow":    {workload(), answers(yes, broken), takes(nil), fault.Unavailable, pep.ReasonPolicy},
		"a condition that failed, and allow":  {workload(), answers(halfAllowed, nil), takes(nil), fault.Denied, ""},
		"a full audit disk":                   {workload(), answers(yes, nil), takes(errFull), fault.Unavailable, audit.ReasonFull},
		"an audit log that fails in its way":  {workload(), answers(yes, nil), takes(broken), fault.Unavailable, audit.ReasonFailed},
		"both":                                {workload(), answers(yes, broken), takes(errFull), fault.Unavailable, audit.ReasonFull},
		"a denial and a full disk":            {workload(), answers(no, nil), takes(errFull), fault.Unavailable, audit.ReasonFull},
		"nobody and a full disk":              {identity.Principal{}, decide(panics), takes(errFull), fault.Unavailable, audit.ReasonFull},
		"no decider":                          {workload(), nil, takes(nil), fault.Internal, ""},
		"no recorder":                         {workload(), answers(yes, nil), nil, fault.Internal, ""},
		"a decision that was cut off":         {workload(), answers(yes, context.Canceled), takes(nil), fault.Unavailable, pep.ReasonPolicy},
		"an error of the kind that is denied": {workload(), answers(yes, fault.Denied), takes(nil), fault.Unavailable, pep.ReasonPolicy},
	} {
		p := &pep.Point{Decider: c.decider, Recorder: c.recorder}
		g, err := p.Check(as(t.Context(), c.who), policy.ActionVend, login)
		if g != nil || err == nil {
			t.Errorf("%s: a grant: %+v, %v", name, g, err)
			continue
		}
		f := fault.From(err)
		if f.Kind != c.kind || f.Reason != c.reason {
			t.Errorf("%s: refused as %s %s, want %s %s", name, f.Kind, f.Reason, c.kind, c.reason)
		}
		if f.Decision == "" && c.kind != fault.Internal {
			t.Errorf("%s: the refusal has no decision id", name)
		}
	}
	p := &pep.Point{Decider: answers(yes, nil), Recorder: takes(nil)}
	if g, err := p.Check(as(t.Context(), justEnded), policy.ActionVend, login); g == nil || err != nil {
		t.Errorf("within the skew that is allowed: %v", err)
	}
	if g, err := new(pep.Point).Check(t.Context(), policy.ActionVend, login); g != nil || err == nil {
		t.Errorf("the zero Point granted: %v", err)
	}
}

// TestAnErrorIsNeverAnAllow is the property itself, over all that can be combined.
func TestAnErrorIsNeverAnAllow(t *testing.T) {
	decisions := []policy.Decision{yes, no, {}, {Allow: true}, {Allow: true, Err: errFull}}
	errs := []error{nil, nil, errors.New("x"), context.Canceled, fault.Denied, errFull}
	who := []identity.Principal{workload(), workload(), {}, {User: &identity.User{Subject: "s"}}}
	for range 2000 {
		d, de, re := decisions[rand.N(len(decisions))], errs[rand.N(len(errs))], errs[rand.N(len(errs))]
		w := who[rand.N(len(who))]
		var recorded *audit.Event
		p := &pep.Point{Decider: answers(d, de), Recorder: record(func(_ context.Context, e audit.Event) error {
			recorded = &e
			return re
		})}
		g, err := p.Check(as(t.Context(), w), policy.ActionVend, login)
		may := d.Allow && d.Err == nil && de == nil && re == nil && !w.IsZero()
		if (g != nil) != may || (err == nil) != may {
			t.Fatalf("decision %+v, %v; record %v; principal %v: got a grant %v, %v", d, de, re, w.Subject(), g != nil, err)
		}
		if recorded == nil || recorded.Allow != (d.Allow && d.Err == nil && de == nil && !w.IsZero()) {
			t.Fatalf("decision %+v, %v: recorded as %+v", d, de, recorded)
		}
	}
}

// The decision is in the log before the caller has the grant, and not only soon after.
func TestTheRecordComesBeforeTheGrant(t *testing.T) {
	begun := make(chan struct{})
	goOn := make(chan struct{})
	p := &pep.Point{Decider: answers(yes, nil), Recorder: record(func(context.Context, audit.Event) error {
		close(begun)
		<-goOn
		return nil
	})}
	granted := make(chan error, 1)
	go func() {
		_, err := p.Check(as(t.Context(), workload()), policy.ActionVend, login)
		granted <- err
	}()
	<-begun
	select {
	case <-granted:
		t.Error("the grant was there before its record")
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	if err := <-granted; err != nil {
		t.Error(err)
	}
}
