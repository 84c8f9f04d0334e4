package client

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Metrics counts calls and rotations. A nil *Metrics counts nothing.
type Metrics struct {
	calls     *prometheus.CounterVec
	rotations *prometheus.CounterVec
	egress    *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_client_calls_total",
			Help: "Calls of the credential broker, by method and outcome (ok or the failure's kind).",
		}, []string{"method", "outcome"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_client_rotations_total",
			Help: "Attempts to put a new SVID in use, by outcome (ok, not_ready).",
		}, []string{"outcome"}),
		egress: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_client_egress_attempts_total",
			Help: "Attempts to send a request through a broker's egress listener, by outcome (ok, unreachable, failed).",
		}, []string{"outcome"}),
	}
	r.MustRegister(m.calls, m.rotations, m.egress)
	return m
}

func (m *Metrics) called(method string, err error) {
	if m == nil {
		return
	}
	outcome := "ok"
	if err != nil {
		outcome = fault.KindOf(err).String()
	}
	m.calls.WithLabelValues(method, outcome).Inc()
}

func (m *Metrics) rotated(err error) {
	if m == nil {
		return
	}
	outcome := "ok"
	if err != nil {
		outcome = "not_ready"
	}
	m.rotations.WithLabelValues(outcome).Inc()
}

func (m *Metrics) sent(outcome string) {
	if m != nil {
		m.egress.WithLabelValues(outcome).Inc()
	}
}
