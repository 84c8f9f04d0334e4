package pdp_test

import (
	"errors"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const gatewayRule = "p, spiffe://a.test/gateway, admin, admin/policy, allow\n"

// TestWatchPolicy: what a gateway holds decides as the broker does, after every change.
func TestWatchPolicy(t *testing.T) {
	b := newBench(t)
	b.change(t, rules+gatewayRule)
	watch, err := b.client(t, "gateway").WatchPolicy(t.Context(), &intercomv1.WatchPolicyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || first.GetRevision() != b.engine.Current().Revision() || first.GetProvenance().GetDecisionId() == "" {
		t.Fatalf("%v, %v", first, err)
	}
	theirs, err := policy.OpenArchive(t.Context(), policy.Config{}, first.GetRevision(), first.GetArchive())
	if err != nil {
		t.Fatal(err)
	}
	orders := policy.Request{
		Principal: identity.Principal{Workload: identity.Workload{ID: spiffeid.RequireFromString("spiffe://a.test/orders")}},
		Action:    policy.ActionVend, Resource: policy.Entity{Type: "credential", ID: "crm/login"},
	}
	if d, err := theirs.Decide(t.Context(), orders); err != nil || !d.Allow || d.Rule.String() != "policy.csv:4" {
		t.Errorf("%+v, %v", d, err)
	}

	b.change(t, gatewayRule)
	second, err := watch.Recv()
	if err != nil {
		t.Fatal(err)
	}
	changed := theirs.Changed()
	if err := theirs.Load(t.Context(), second.GetRevision(), second.GetArchive()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("the change was not told")
	}
	if d, err := theirs.Decide(t.Context(), orders); err != nil || d.Allow {
		t.Errorf("%+v, %v", d, err)
	}

	b.change(t, rules) // which lets the gateway read no more
	if more, err := watch.Recv(); !errors.Is(fault.FromStatus(err), fault.Denied) {
		t.Errorf("%v, %v", more, err)
	}
	eventually(t, "the act's end is recorded", func() bool {
		_, outcome := b.recorded(t, first.GetProvenance().GetDecisionId())
		return outcome.Result == "denied"
	})
}

// TestWatchPolicySendsNothingTwice, and nothing at all to who may not read it.
func TestWatchPolicySendsNothingTwice(t *testing.T) {
	b := newBench(t)
	b.change(t, rules+gatewayRule)
	held := b.engine.Current().Revision()
	watch, err := b.client(t, "gateway").WatchPolicy(t.Context(), &intercomv1.WatchPolicyRequest{Revision: held})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and again after a while, for who wants to know whether it is still so
		if got, err := watch.Recv(); err != nil || got.GetRevision() != held || len(got.GetArchive()) != 0 {
			t.Errorf("%v, %v", got, err)
		}
	}
	watch, err = b.client(t, "operator").WatchPolicy(t.Context(), &intercomv1.WatchPolicyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); !errors.Is(fault.FromStatus(err), fault.Denied) {
		t.Errorf("%v, %v", got, err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
