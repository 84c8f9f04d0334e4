package audit

import (
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the log's figures. A nil *Metrics counts nothing.
type Metrics struct {
	entries     *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	record      prometheus.Histogram
	fsync       prometheus.Histogram
	batchSize   prometheus.Histogram
	held        prometheus.Gauge
	checkpoints prometheus.Counter
	failures    prometheus.Counter
	restores    prometheus.Counter
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "intercom", Subsystem: "audit", Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "intercom", Subsystem: "audit", Name: name, Help: help, Buckets: buckets})
	}
	times := prometheus.ExponentialBuckets(5e-6, 4, 10) // 5 µs to 1.3 s
	m := &Metrics{
		entries:     prometheus.NewCounterVec(prometheus.CounterOpts(opts("entries_total", "Entries recorded, by kind.")), []string{"kind"}),
		refusals:    prometheus.NewCounterVec(prometheus.CounterOpts(opts("refusals_total", "Entries not recorded, by reason.")), []string{"reason"}),
		record:      histogram("record_seconds", "Time until an entry was recorded.", times),
		fsync:       histogram("fsync_seconds", "Time of one fsync.", times),
		batchSize:   histogram("batch_entries", "Entries written together.", prometheus.ExponentialBuckets(1, 2, 10)),
		held:        prometheus.NewGauge(prometheus.GaugeOpts(opts("reserve_bytes", "Disk that is held back; below what is configured, grants are refused."))),
		checkpoints: prometheus.NewCounter(prometheus.CounterOpts(opts("checkpoints_total", "Signed checkpoints."))),
		failures:    prometheus.NewCounter(prometheus.CounterOpts(opts("upkeep_failures_total", "Checkpoints, rotations and deletions that failed and are tried again."))),
		restores:    prometheus.NewCounter(prometheus.CounterOpts(opts("segments_restored_total", "Times that the segment in use was deleted or moved by somebody."))),
	}
	r.MustRegister(m.entries, m.refusals, m.record, m.fsync, m.batchSize, m.held, m.checkpoints, m.failures, m.restores)
	return m
}

func (m *Metrics) recorded(k Kind, err error, took time.Duration) {
	switch {
	case m == nil:
	case err != nil:
		m.refusals.WithLabelValues(fault.From(err).Code()).Inc()
	default:
		m.entries.WithLabelValues(string(k)).Inc()
		m.record.Observe(took.Seconds())
	}
}

func (m *Metrics) synced(took time.Duration) {
	if m != nil {
		m.fsync.Observe(took.Seconds())
	}
}

func (m *Metrics) batch(entries int) {
	if m != nil {
		m.batchSize.Observe(float64(entries))
	}
}

func (m *Metrics) reserve(r *reserve) {
	if m != nil && r != nil {
		m.held.Set(float64(r.held.Load()))
	}
}

func (m *Metrics) checkpointed() {
	if m != nil {
		m.checkpoints.Inc()
	}
}

func (m *Metrics) keeperFailed() {
	if m != nil {
		m.failures.Inc()
	}
}

func (m *Metrics) restored() {
	if m != nil {
		m.restores.Inc()
	}
}
