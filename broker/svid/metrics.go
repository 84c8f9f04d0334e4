package svid

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts rotations. A nil Metrics counts nothing.
type Metrics struct {
	notAfter prometheus.Gauge
	updates  *prometheus.CounterVec
	failures *prometheus.CounterVec
	latest   *prometheus.GaugeVec
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	label := []string{"what"}
	m := &Metrics{
		notAfter: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_svid_not_after_seconds", Help: "When our X.509-SVID ends, in Unix time.",
		}),
		updates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_svid_updates_total", Help: "Answers of the Workload API, or changes of files, that were taken over.",
		}, label),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_svid_failures_total", Help: "Answers or files that could not be had or were refused; the old is kept.",
		}, label),
		latest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "intercom_svid_updated_seconds", Help: "When the last good answer came, in Unix time: the age of what is kept.",
		}, label),
	}
	r.MustRegister(m.notAfter, m.updates, m.failures, m.latest)
	return m
}

func (m *Metrics) holds(end time.Time) {
	if m != nil {
		m.notAfter.Set(float64(end.Unix()))
	}
}

func (m *Metrics) updated(what string, at time.Time) {
	if m != nil {
		m.updates.WithLabelValues(what).Inc()
		m.latest.WithLabelValues(what).Set(float64(at.Unix()))
	}
}

func (m *Metrics) failed(what string) {
	if m != nil {
		m.failures.WithLabelValues(what).Inc()
	}
}
