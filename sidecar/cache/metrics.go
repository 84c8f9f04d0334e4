package cache

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts fetches. A nil *Metrics counts nothing.
type Metrics struct {
	fetches *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intercom_cache_fetches_total",
		Help: "Fetches from the credential broker, by cache and outcome (ok, silent, refused).",
	}, []string{"cache", "outcome"})}
	r.MustRegister(m.fetches)
	return m
}

func (m *Metrics) fetched(cache string, err error) {
	if m == nil {
		return
	}
	outcome := "ok"
	switch {
	case err != nil && silent(err):
		outcome = "silent"
	case err != nil:
		outcome = "refused"
	}
	m.fetches.WithLabelValues(cache, outcome).Inc()
}
