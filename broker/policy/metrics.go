package policy

import "github.com/prometheus/client_golang/prometheus"

// Metrics count decisions and reloads. A nil *Metrics counts nothing.
type Metrics struct {
	allowed, denied, failed prometheus.Counter
	reloads, refused        prometheus.Counter
	rules, changed, custom  prometheus.Gauge
}

// NewMetrics registers the package's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intercom_policy_decisions_total", Help: "Decisions, by result: allow, deny, or error where a condition or the request could not be read."}, []string{"result"})
	reloads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "intercom_policy_reloads_total", Help: "Changed policies that were read again, by result: accepted or refused."}, []string{"result"})
	m := &Metrics{
		allowed: decisions.WithLabelValues("allow"), denied: decisions.WithLabelValues("deny"), failed: decisions.WithLabelValues("error"),
		reloads: reloads.WithLabelValues("accepted"), refused: reloads.WithLabelValues("refused"),
		rules:   gauge("intercom_policy_rules_count", "Rules of the current policy."),
		changed: gauge("intercom_policy_loaded_timestamp_seconds", "When the current policy was loaded."),
		custom:  gauge("intercom_policy_custom_model_info", "1 when an operator's own model is decided by Casbin."),
	}
	r.MustRegister(decisions, reloads, m.rules, m.changed, m.custom)
	return m
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func (m *Metrics) decided(d *Decision, err error) {
	switch {
	case m == nil:
	case err != nil || d.Err != nil:
		m.failed.Inc()
	case d.Allow:
		m.allowed.Inc()
	default:
		m.denied.Inc()
	}
}

func (m *Metrics) loaded(s *Snapshot) {
	if m == nil {
		return
	}
	m.reloads.Inc()
	m.rules.Set(float64(s.Rules()))
	m.changed.SetToCurrentTime()
	m.custom.Set(0)
	if s.Custom() {
		m.custom.Set(1)
	}
}

func (m *Metrics) refuse() {
	if m != nil {
		m.refused.Inc()
	}
}
