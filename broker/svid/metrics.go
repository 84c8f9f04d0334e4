package svid

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts rotations. A nil Metrics counts nothing.
type Metrics struct{}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics { return &Metrics{} }
