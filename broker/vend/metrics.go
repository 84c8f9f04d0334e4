package vend

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/credential"
)

// Metrics counts what is handed out. A nil Metrics counts nothing.
type Metrics struct {
	leases   *prometheus.CounterVec
	sidecars prometheus.Gauge
}

// NewMetrics registers the metrics at r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		leases: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_vend_leases_total", Help: "Credentials leased, by where they were served from: live, cache or stale.",
		}, []string{"from"}),
		sidecars: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_vend_watching_sidecars", Help: "Sidecars that are told of services at this moment.",
		}),
	}
	r.MustRegister(m.leases, m.sidecars)
	return m
}

func (m *Metrics) leased(from credential.From) {
	if m != nil {
		m.leases.WithLabelValues(from.String()).Inc()
	}
}

func (m *Metrics) watching(by float64) {
	if m != nil {
		m.sidecars.Add(by)
	}
}
