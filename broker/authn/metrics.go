package authn

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what was verified. A nil Metrics counts nothing.
type Metrics struct {
	results *prometheus.CounterVec
	domains *prometheus.CounterVec
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_authn_jwt_svids_total", Help: "JWT-SVIDs by result: ok, or the reason of the refusal.",
		}, []string{"result"}),
		domains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_authn_foreign_domain_refusals_total",
			Help: "JWT-SVIDs that name a trust domain that is not allowed; \"unknown\" where there is no bundle for it.",
		}, []string{"trust_domain"}),
	}
	r.MustRegister(m.results, m.domains)
	return m
}

func (m *Metrics) verified(result string) {
	if m != nil {
		m.results.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) foreign(domain string) {
	if m != nil {
		m.domains.WithLabelValues(domain).Inc()
	}
}
