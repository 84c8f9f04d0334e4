package localapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Metrics counts what the application was answered. A nil *Metrics counts nothing.
type Metrics struct {
	answers  *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_localapi_answers_total",
			Help: "Answers passed on to the application, by mode (token, inject, own) and class of status.",
		}, []string{"mode", "status"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_localapi_refusals_total",
			Help: "Requests that the sidecar itself refused, by kind.",
		}, []string{"kind"}),
	}
	r.MustRegister(m.answers, m.refusals)
	return m
}

func (m *Metrics) answered(mode intercomv1.Mode, status int) {
	if m == nil {
		return
	}
	name := "own"
	switch mode {
	case intercomv1.Mode_MODE_TOKEN:
		name = "token"
	case intercomv1.Mode_MODE_INJECT:
		name = "inject"
	}
	class := "other"
	if status >= 100 && status < 600 {
		class = strconv.Itoa(status/100) + "xx"
	}
	m.answers.WithLabelValues(name, class).Inc()
}

func (m *Metrics) refused(err error) {
	if m != nil {
		m.refusals.WithLabelValues(fault.KindOf(err).String()).Inc()
	}
}
