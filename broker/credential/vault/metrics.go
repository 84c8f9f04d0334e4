package vault

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of a Store. A nil *Metrics counts nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	notAfter prometheus.Gauge
}

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_vault_requests_total",
			Help: "Requests to Vault, by operation (read, write, delete, list, version, login, renew, lookup, revoke) and ok, not_found or the reason of the failure.",
		}, []string{"operation", "result"}),
		notAfter: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_vault_login_end_timestamp_seconds",
			Help: "When the login to Vault ends unless it is renewed; 0 when it does not end.",
		}),
	}
	reg.MustRegister(m.requests, m.notAfter)
	return m
}

func (m *Metrics) sent(op string, err error) {
	if m != nil {
		m.requests.WithLabelValues(op, outcome(err)).Inc()
	}
}

func (m *Metrics) loggedIn(notAfter time.Time) {
	switch {
	case m == nil:
	case notAfter.IsZero():
		m.notAfter.Set(0)
	default:
		m.notAfter.Set(float64(notAfter.Unix()))
	}
}
