package egress_test

import (
	"crypto/tls"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// TestHostile sends the corpus through TLS as it is written: no client library would.
func TestHostile(t *testing.T) {
	up, registry := &doortest.Recorder{}, prometheus.NewRegistry()
	_, flow := upstream(t, up.ServeHTTP)
	d := newDoor(t, crm(flow)+"  keyed:\n    upstream: "+flow+"\n    inject: { header: { name: X-User-Id, credential: crm/token } }\n",
		func(cfg *egress.Config) { cfg.Metrics = egress.NewMetrics(registry) })
	for _, r := range doortest.Corpus(t, basic, apiToken) {
		t.Run(r.Name, func(t *testing.T) {
			c, err := tls.Dial("tcp", d.addr, d.clientTLS("/orders", "http/1.1"))
			if err != nil {
				t.Fatal(err)
			}
			r.Send(t, c, up)
		})
	}
	t.Run("no upstream was blamed", func(t *testing.T) {
		if got := telemetrytest.Value(t, registry, "intercom_egress_upstream_failures_total"); got != 0 {
			t.Errorf("%v upstream failures", got)
		}
	})
}
