package keyring

import "github.com/prometheus/client_golang/prometheus"

// Metrics of a Ring. A nil *Metrics counts nothing.
type Metrics struct {
	keys       prometheus.Gauge
	signatures *prometheus.CounterVec
	rotations  prometheus.Counter
	turns      *prometheus.CounterVec
	strange    prometheus.Gauge
}

// NewMetrics returns Metrics that are registered with reg.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		keys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_keyring_keys", Help: "Public keys in the JWK set that this replica serves.",
		}),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_keyring_signatures_total", Help: "Tokens signed, by ok or failed.",
		}, []string{"result"}),
		rotations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "intercom_keyring_rotations_total", Help: "Times that another key of this replica began to sign.",
		}),
		turns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_keyring_polls_total", Help: "Talks with the shared store of public keys, by ok or failed.",
		}, []string{"result"}),
		strange: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "intercom_keyring_ignored_entries", Help: "Entries of the shared store that are no key of ours, at the last poll.",
		}),
	}
	reg.MustRegister(m.keys, m.signatures, m.rotations, m.turns, m.strange)
	return m
}

func result(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

func (m *Metrics) signed(err error) {
	if m != nil {
		m.signatures.WithLabelValues(result(err)).Inc()
	}
}

func (m *Metrics) turned(err error) {
	if m != nil {
		m.turns.WithLabelValues(result(err)).Inc()
	}
}

func (m *Metrics) rotated() {
	if m != nil {
		m.rotations.Inc()
	}
}

func (m *Metrics) ignore(entries int) {
	if m != nil {
		m.strange.Set(float64(entries))
	}
}

func (m *Metrics) serve(keys int) {
	if m != nil {
		m.keys.Set(float64(keys))
	}
}
