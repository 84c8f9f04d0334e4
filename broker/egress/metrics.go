package egress

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what goes through the door. A nil *Metrics counts nothing.
type Metrics struct{}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics { panic("not yet") }
