package pep_test

import (
	"errors"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// TestDenialsAreBounded: a caller without a right cannot fill the disk, and what it may do goes on.
func TestDenialsAreBounded(t *testing.T) {
	p, dir := point(t)
	now := time.Now()
	p.Now, p.Denials = func() time.Time { return now }, &pep.Denials{}
	ctx, secret := as(t.Context(), workload()), policy.Entity{Type: "credential", ID: "payroll/root"}
	var written, spared int
	for range 1000 {
		_, err := p.Check(ctx, policy.ActionVend, secret)
		switch f := fault.From(err); {
		case errors.Is(err, fault.Denied):
			written++
			find(t, dir, f.Decision)
		case f.Reason == pep.ReasonDenials && f.Kind == fault.Overloaded && f.RetryAfter > 0:
			spared++
		default:
			t.Fatalf("a denied caller got %v", err)
		}
	}
	if written != 500 || spared != 500 {
		t.Errorf("%d denials written, %d spared", written, spared)
	}
	if _, err := p.Check(ctx, policy.ActionVend, login); err != nil {
		t.Errorf("what it may do: %v", err)
	}
	now = now.Add(time.Second)
	if _, err := p.Check(ctx, policy.ActionVend, secret); !errors.Is(err, fault.Denied) {
		t.Errorf("a second later: %v", err)
	}
}
