package service

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what a [Watcher] reads. A nil Metrics counts nothing.
type Metrics struct {
	services *prometheus.GaugeVec
	reloads  *prometheus.CounterVec
}

// NewMetrics registers the metrics at r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		services: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "intercom_service_services", Help: "Services in force, by mode.",
		}, []string{"mode"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_service_loads_total", Help: "Readings of changed service files, by result: loaded or refused.",
		}, []string{"result"}),
	}
	r.MustRegister(m.services, m.reloads)
	return m
}

func (m *Metrics) loaded(c *Catalog) {
	if m == nil {
		return
	}
	count := map[Mode]int{ModeToken: 0, ModeInject: 0, ModeVend: 0}
	for _, s := range c.all {
		count[s.Mode]++
	}
	for mode, n := range count {
		m.services.WithLabelValues(string(mode)).Set(float64(n))
	}
	m.reloads.WithLabelValues("loaded").Inc()
}

func (m *Metrics) refused() {
	if m != nil {
		m.reloads.WithLabelValues("refused").Inc()
	}
}
