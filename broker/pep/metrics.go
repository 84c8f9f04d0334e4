package pep

import (
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts decisions and acts. A nil *Metrics counts nothing.
type Metrics struct {
	decisions  *prometheus.CounterVec
	check      *prometheus.HistogramVec
	acts       *prometheus.CounterVec
	open       *prometheus.GaugeVec
	withdrawn  *prometheus.CounterVec
	unrecorded prometheus.Counter
	// usual has what most decisions count, looked up once: it stands on the way of every request.
	usual map[string]usual
}

// usual are the counters of one action that was allowed and went well.
type usual struct {
	action      string
	allowed, ok prometheus.Counter
	check       prometheus.Observer
	open        prometheus.Gauge
}

// The results of a decision. They are fewer than the kinds of faults: whoever looks at a graph asks
// whether policy said no or could not answer.
const (
	resultAllowed = "allowed"
	resultDenied  = "denied"
	resultNobody  = "unauthenticated"
	resultFailed  = "failed"
	otherAction   = "other"
)

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "intercom", Subsystem: "pep", Name: name, Help: help}
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m := &Metrics{
		decisions: counters("decisions_total", "Decisions, by action and result.", "action", "result"),
		check: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "intercom", Subsystem: "pep", Name: "check_seconds",
			Help: "Time until a decision was made and recorded.", Buckets: prometheus.ExponentialBuckets(1e-5, 4, 9)}, []string{"action"}),
		acts:      counters("acts_total", "Allowed acts that ended, by action and result: ok, canceled or the kind of failure.", "action", "result"),
		open:      prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("acts_open", "Allowed acts that have not ended.")), []string{"action"}),
		withdrawn: counters("withdrawals_total", "Acts that a change of policy ended.", "action"),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts(
			opts("outcomes_unrecorded_total", "Outcomes that the audit log did not take."))),
		usual: map[string]usual{},
	}
	for _, a := range append(policy.Actions(), otherAction) {
		m.usual[a] = usual{a, m.decisions.WithLabelValues(a, resultAllowed), m.acts.WithLabelValues(a, resultOK), m.check.WithLabelValues(a), m.open.WithLabelValues(a)}
	}
	r.MustRegister(m.decisions, m.check, m.acts, m.open, m.withdrawn, m.unrecorded)
	return m
}

// of bounds the label: what is not in policy's closed list is a caller's word.
func (m *Metrics) of(action string) usual {
	if u, ok := m.usual[action]; ok {
		return u
	}
	return m.usual[otherAction]
}

func (m *Metrics) checked(g *Grant, refusal error, now time.Time) {
	if m == nil {
		return
	}
	u := m.of(g.Action)
	u.check.Observe(now.Sub(g.began).Seconds())
	if refusal == nil {
		u.allowed.Inc()
		u.open.Inc()
		return
	}
	m.decisions.WithLabelValues(u.action, resultOf(refusal)).Inc()
}

func resultOf(refusal error) string {
	switch fault.KindOf(refusal) {
	case fault.Denied:
		return resultDenied
	case fault.Unauthenticated:
		return resultNobody
	default:
		return resultFailed
	}
}

func (m *Metrics) finished(g *Grant, result string, unrecorded error) {
	if m == nil {
		return
	}
	u := m.of(g.Action)
	u.open.Dec()
	if result == resultOK {
		u.ok.Inc()
	} else {
		m.acts.WithLabelValues(u.action, result).Inc()
	}
	if unrecorded != nil {
		m.unrecorded.Inc()
	}
}

func (m *Metrics) withdrew(g *Grant) {
	if m != nil {
		m.withdrawn.WithLabelValues(m.of(g.Action).action).Inc()
	}
}
