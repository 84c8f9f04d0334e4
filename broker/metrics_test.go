package broker_test

import (
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

// TestEveryMetricIsListed holds the README of package telemetry against all packages that have metrics.
func TestEveryMetricIsListed(t *testing.T) {
	for _, line := range telemetry.Undocumented(func(r prometheus.Registerer) {
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
	}) {
		t.Error(line)
	}
}
