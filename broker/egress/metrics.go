package egress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what goes through the door. A nil *Metrics counts nothing. Services come from files, so
// their names are few; a request that reached none has the label "".
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	failures *prometheus.CounterVec
	cuts     *prometheus.CounterVec
	repeats  *prometheus.CounterVec
	inFlight prometheus.Gauge
	nowhere  counters
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_egress_requests_total", Help: "Requests by service and class of the answer; upgrades are 1xx, streams that broke off without an answer are none.",
		}, []string{"service", "class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "intercom_egress_duration_seconds", Help: "Time from the first look at a request to the last byte of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"service"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_egress_upstream_failures_total", Help: "Calls that failed at the upstream or on the way to it, by reason.",
		}, []string{"service", "reason"}),
		cuts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_egress_cut_total", Help: "Streams and upgraded connections that a change of policy ended.",
		}, []string{"service"}),
		repeats: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_egress_repeats_total", Help: "Calls that were sent again with a newer credential after the service had answered 401.",
		}, []string{"service"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_egress_in_flight", Help: "Requests, streams and upgraded connections under way.",
		}),
	}
	r.MustRegister(m.requests, m.duration, m.failures, m.cuts, m.repeats, m.inFlight)
	m.nowhere = m.counters("")
	return m
}

// counters are one service's metrics, resolved once.
type counters struct {
	classes  [6]prometheus.Counter
	duration prometheus.Observer
	failures *prometheus.CounterVec
	repeats  prometheus.Counter
}

func (m *Metrics) counters(service string) (c counters) {
	if m == nil {
		return c
	}
	for i, class := range [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		c.classes[i] = m.requests.WithLabelValues(service, class)
	}
	c.duration = m.duration.WithLabelValues(service)
	c.repeats = m.repeats.WithLabelValues(service)
	c.failures = m.failures.MustCurryWith(prometheus.Labels{"service": service})
	return c
}

func (c counters) failed(reason string) {
	if c.failures != nil {
		c.failures.WithLabelValues(reason).Inc()
	}
}

func (c counters) repeated() {
	if c.repeats != nil {
		c.repeats.Inc()
	}
}

func (m *Metrics) began() {
	if m != nil {
		m.inFlight.Inc()
	}
}

func (m *Metrics) ended(a *act, took time.Duration) {
	if m == nil {
		return
	}
	m.inFlight.Dec()
	c := &m.nowhere
	if a.upstream != nil {
		c = &a.upstream.counters
	}
	c.classes[min(a.writer.status/100, 5)].Inc()
	c.duration.Observe(took.Seconds())
}

func (m *Metrics) cut(service string) {
	if m != nil {
		m.cuts.WithLabelValues(service).Inc()
	}
}
