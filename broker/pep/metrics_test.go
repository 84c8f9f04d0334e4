package pep_test

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsHaveBoundedLabels(t *testing.T) {
	r := prometheus.NewRegistry()
	p := &pep.Point{Decider: answers(yes, nil), Recorder: takes(nil), Metrics: pep.NewMetrics(r)}
	ctx := as(t.Context(), workload())
	for _, action := range []string{policy.ActionVend, policy.ActionCall, "a caller's word", "another"} {
		g, err := p.Check(ctx, action, login)
		if err != nil {
			t.Fatal(err)
		}
		if action != policy.ActionCall {
			g.Done(pep.Outcome{})
			g.Done(pep.Outcome{})
		}
	}
	p.Decider = answers(no, nil)
	_, _ = p.Check(ctx, policy.ActionVend, login)
	_, _ = p.Check(as(ctx, identity.Principal{}), policy.ActionVend, login)
	p.Recorder = takes(errFull)
	_, _ = p.Check(ctx, policy.ActionVend, login)

	const want = `
# HELP intercom_pep_acts_open Allowed acts that have not ended.
# TYPE intercom_pep_acts_open gauge
intercom_pep_acts_open{action="call"} 1
intercom_pep_acts_open{action="other"} 0
intercom_pep_acts_open{action="vend"} 0
# HELP intercom_pep_acts_total Allowed acts that ended, by action and result: ok, canceled or the kind of failure.
# TYPE intercom_pep_acts_total counter
intercom_pep_acts_total{action="other",result="ok"} 2
intercom_pep_acts_total{action="vend",result="ok"} 1
# HELP intercom_pep_decisions_total Decisions, by action and result.
# TYPE intercom_pep_decisions_total counter
intercom_pep_decisions_total{action="call",result="allowed"} 1
intercom_pep_decisions_total{action="other",result="allowed"} 2
intercom_pep_decisions_total{action="vend",result="allowed"} 1
intercom_pep_decisions_total{action="vend",result="denied"} 1
intercom_pep_decisions_total{action="vend",result="failed"} 1
intercom_pep_decisions_total{action="vend",result="unauthenticated"} 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "intercom_pep_acts_open", "intercom_pep_acts_total", "intercom_pep_decisions_total"); err != nil {
		t.Error(err)
	}
}
