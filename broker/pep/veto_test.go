package pep_test

import (
	"errors"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// TestVeto: a call is allowed and nothing allows the credential as such; only a rule that denies the
// credential stops the call.
func TestVeto(t *testing.T) {
	l, dir := openLog(t)
	engine := new(swap)
	call := policy.Entity{Type: "service", ID: "crm/GET/customers"}
	allowed := "p, spiffe://a.test/orders, call, service/crm/GET/**, allow\n"
	engine.now.Store(snapshot(t, allowed))
	p := &pep.Point{Decider: engine, Recorder: l}
	g, err := p.Check(as(t.Context(), workload()), policy.ActionCall, call)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Veto(t.Context(), g, policy.ActionVend, login); err != nil {
		t.Errorf("no rule speaks of the credential: %v", err)
	}
	for name, deny := range map[string]string{
		"the emergency switch": "p, **, *, credential/crm/login, deny\n",
		"a rule for vend":      "p, spiffe://a.test/orders, vend, credential/crm/**, deny\n",
	} {
		engine.now.Store(snapshot(t, allowed+deny))
		err := p.Veto(t.Context(), g, policy.ActionVend, login)
		if !errors.Is(err, fault.Denied) || fault.From(err).Decision != g.ID {
			t.Errorf("%s: %v", name, err)
		}
	}
	events := find(t, dir, g.ID)
	if len(events) != 3 || events[1].Allow || events[1].Resource != "credential/crm/login" || events[1].Rule == "" {
		t.Errorf("the log says %+v", events)
	}
	p.Decider = nil
	if err := p.Veto(t.Context(), g, policy.ActionVend, login); err == nil {
		t.Error("without an answer there is no veto")
	}
}
