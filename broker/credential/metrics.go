package credential

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Metrics of a Cache. A nil *Metrics counts nothing.
type Metrics struct {
	fetches   *prometheus.CounterVec
	questions *prometheus.HistogramVec
	entries   prometheus.Gauge
}

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_credential_fetches_total",
			Help: "Credentials asked of the cache, by where they were served from (live, cache, stale) or the kind of failure.",
		}, []string{"result"}),
		questions: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "intercom_credential_store_seconds",
			Help:    "Time that the store took for one question of the cache, by ok or the kind of failure.",
			Buckets: []float64{.0001, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"result"}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_credential_cache_names",
			Help: "Names that the cache keeps.",
		}),
	}
	reg.MustRegister(m.fetches, m.questions, m.entries)
	return m
}

func (m *Metrics) fetched(from From, err error) {
	if m == nil {
		return
	}
	result := from.String()
	if err != nil {
		result = fault.KindOf(err).String()
	}
	m.fetches.WithLabelValues(result).Inc()
}

func (m *Metrics) asked(took time.Duration, err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = fault.KindOf(err).String()
	}
	m.questions.WithLabelValues(result).Observe(took.Seconds())
}

func (m *Metrics) held(names int) {
	if m != nil {
		m.entries.Set(float64(names))
	}
}
