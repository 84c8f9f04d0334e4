package mtls

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxDomains is how many foreign trust domains the metrics name; the others count as "other". Each of
// them has a bundle here, so there are not many.
const maxDomains = 32

// Metrics counts connections and refusals. A nil Metrics counts nothing.
type Metrics struct {
	open       *prometheus.GaugeVec
	handshakes *prometheus.CounterVec
	domains    *prometheus.CounterVec
	ended      *prometheus.CounterVec
	cut        *prometheus.CounterVec

	mu    sync.Mutex
	named map[string]bool
}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "intercom_mtls_connections", Help: "Connections that are open, handshakes included.",
		}, []string{"door"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_mtls_handshakes_total", Help: "Handshakes by result: ok, or the reason of the refusal.",
		}, []string{"door", "result"}),
		domains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_mtls_foreign_domain_refusals_total",
			Help: "Peers with a valid SVID of a trust domain that is not allowed by name.",
		}, []string{"door", "trust_domain"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_mtls_connections_expired_total",
			Help: "Connections that were ended because the peer's SVID did.",
		}, []string{"door"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "intercom_mtls_connections_revoked_total",
			Help: "Connections that were cut because the peer's trust domain or authority is not trusted any more.",
		}, []string{"door"}),
		named: map[string]bool{},
	}
	r.MustRegister(m.open, m.handshakes, m.domains, m.ended, m.cut)
	return m
}

func (m *Metrics) opened(door string, n float64) {
	if m != nil {
		m.open.WithLabelValues(door).Add(n)
	}
}

func (m *Metrics) shook(door string) {
	if m != nil {
		m.handshakes.WithLabelValues(door, "ok").Inc()
	}
}

func (m *Metrics) expired(door string) {
	if m != nil {
		m.ended.WithLabelValues(door).Inc()
	}
}

func (m *Metrics) revoked(door string) {
	if m != nil {
		m.cut.WithLabelValues(door).Inc()
	}
}

func (m *Metrics) refused(door string, r *refusal) {
	if m == nil {
		return
	}
	m.handshakes.WithLabelValues(door, string(r.reason)).Inc()
	if r.reason == foreignDomain {
		m.domains.WithLabelValues(door, m.label(r.id.TrustDomain().Name())).Inc()
	}
}

func (m *Metrics) label(domain string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.named[domain] && len(m.named) >= maxDomains {
		return "other"
	}
	m.named[domain] = true
	return domain
}
