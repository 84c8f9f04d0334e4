package exchange

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/service"
)

// Metrics counts what is minted. A nil Metrics counts nothing.
type Metrics struct {
	tokens *prometheus.CounterVec
}

// Who gets a token.
const (
	forCaller  = "caller"
	forRequest = "request"
)

// NewMetrics registers the metrics at r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intercom_exchange_tokens_total",
		Help: "Tokens minted, by what they are bound to (svid or none) and whether the caller got them or its request.",
	}, []string{"bind", "for"})}
	r.MustRegister(m.tokens)
	return m
}

func (m *Metrics) minted(bind service.Bind, what string) {
	if m != nil {
		m.tokens.WithLabelValues(string(bind), what).Inc()
	}
}
