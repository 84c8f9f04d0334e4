package telemetry_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry"
	"github.com/intercom-broker/intercom/broker/vend"
	"github.com/intercom-broker/intercom/sidecar/cache"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// everything registers the metrics of every package that has some.
func everything(r prometheus.Registerer) {
	audit.NewMetrics(r)
	authn.NewMetrics(r)
	cache.NewMetrics(r)
	client.NewMetrics(r)
	credential.NewMetrics(r)
	egress.NewMetrics(r)
	exchange.NewMetrics(r)
	keyring.NewMetrics(r)
	localapi.NewMetrics(r)
	mtls.NewMetrics(r)
	pep.NewMetrics(r)
	policy.NewMetrics(r)
	service.NewMetrics(r)
	svid.NewMetrics(r)
	vault.NewMetrics(r)
	vend.NewMetrics(r)
}

func TestREADMEListsEveryMetric(t *testing.T) {
	for _, line := range telemetry.Undocumented(everything) {
		t.Error(line)
	}
	everything(prometheus.NewRegistry()) // which also refuses names and labels that are not consistent
}

func TestREADMEIsHeldToWhatIsRegistered(t *testing.T) {
	got := strings.Join(telemetry.Undocumented(func(r prometheus.Registerer) {
		pep.NewMetrics(r)
		r.MustRegister(
			prometheus.NewCounter(prometheus.CounterOpts{Name: "intercom_new_total"}),
			prometheus.NewCounterVec(prometheus.CounterOpts{Name: "intercom_audit_entries_total", Help: `a "help"`,
				ConstLabels: prometheus.Labels{"door": "x"}}, []string{"kind", "user"}),
			prometheus.NewCounter(prometheus.CounterOpts{Name: "somebody_elses_total"}),
		)
	}), "\n")
	for _, want := range []string{
		"does not have intercom_new_total (labels: )",
		`intercom_audit_entries_total with the labels "kind"; it has "door, kind, user"`,
		"README.md has intercom_audit_fsync_seconds, which nothing registers",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, not := range []string{"intercom_pep_", "somebody_elses", "intercom_build_info"} {
		if strings.Contains(got, not) {
			t.Errorf("%q stands in\n%s", not, got)
		}
	}
}
