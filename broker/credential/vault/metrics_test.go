package vault_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMetrics(t *testing.T) {
	f := setUp(t, stack.Vault(t))
	reg := prometheus.NewRegistry()
	cfg := f.config(t)
	cfg.Metrics = vault.NewMetrics(reg)
	s := open(t, cfg)
	write(t, s, "crm/login")
	reads(t, s, "crm/login")
	_, _ = s.Read(t.Context(), "un/known")
	want := map[string]float64{
		"login ok": 1, "read ok": 1, "read not_found": 1, "version not_found": 1, "write ok": 1,
	}
	got, end := gather(t, reg)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if left := time.Until(end); left < time.Hour {
		t.Errorf("the login ends in %s", left)
	}
}

// gather returns the requests by operation and result, and the end of the login.
func gather(t *testing.T, reg *prometheus.Registry) (requests map[string]float64, end time.Time) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests = map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "intercom_vault_login_end_timestamp_seconds" {
				end = time.Unix(int64(m.GetGauge().GetValue()), 0)
				continue
			}
			requests[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return requests, end
}
