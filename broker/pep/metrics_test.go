package pep_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/prometheus/client_golang/prometheus"
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

	want := map[string]float64{
		`intercom_pep_acts_open{action="call"}`: 1, `intercom_pep_acts_total{action="other",result="ok"}`: 2, `intercom_pep_acts_total{action="vend",result="ok"}`: 1,
		`intercom_pep_decisions_total{action="call",result="allowed"}`: 1, `intercom_pep_decisions_total{action="other",result="allowed"}`: 2,
		`intercom_pep_decisions_total{action="vend",result="allowed"}`: 1, `intercom_pep_decisions_total{action="vend",result="denied"}`: 1,
		`intercom_pep_decisions_total{action="vend",result="failed"}`: 1, `intercom_pep_decisions_total{action="vend",result="unauthenticated"}`: 1,
	}
	got := counted(t, r, "intercom_pep_acts_open", "intercom_pep_acts_total", "intercom_pep_decisions_total")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// counted returns the series of these metrics that are not zero.
func counted(t *testing.T, r *prometheus.Registry, names ...string) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+`="`+l.GetValue()+`"`)
			}
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = v
			}
		}
	}
	return out
}
