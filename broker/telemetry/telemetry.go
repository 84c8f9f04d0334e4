// Package telemetry is how the process tells how it is: logs, metrics, traces and the admin listener.
package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Config configures Telemetry.
type Config struct {
	// Service and Version stand in every trace and in the build info metric; empty means "intercom" and
	// the version that Go stamped into the binary.
	Service, Version string
	// LogLevel is debug, info, warn or error; empty means info.
	LogLevel string
	// LogOutput is where logs go; nil means standard error.
	LogOutput io.Writer
	// OTLPEndpoint is the gRPC collector, http://host:port or https://host:port; empty means that spans
	// are propagated and not recorded.
	OTLPEndpoint string
	// SampleRatio is the share of new traces that are recorded; zero means all. A caller's choice is kept.
	SampleRatio float64
}

// Telemetry holds one process's logger, registry and tracer provider.
type Telemetry struct{}

// New builds Telemetry. It does not wait for the collector.
func New(ctx context.Context, cfg Config) (*Telemetry, error) { panic("not yet") }

// Logger returns the JSON logger.
func (t *Telemetry) Logger() *slog.Logger { panic("not yet") }

// Registry returns the registry that /metrics serves.
func (t *Telemetry) Registry() *prometheus.Registry { panic("not yet") }

// TracerProvider returns the provider, for otelgrpc and otelhttp.
func (t *Telemetry) TracerProvider() trace.TracerProvider { panic("not yet") }

// Tracer returns a tracer of that name.
func (t *Telemetry) Tracer(name string) trace.Tracer { panic("not yet") }

// Admin serves /healthz, /readyz, /metrics and /debug/pprof/.
func (t *Telemetry) Admin(checks map[string]func() error) http.Handler { panic("not yet") }

// Shutdown sends what is still held.
func (t *Telemetry) Shutdown(ctx context.Context) error { panic("not yet") }

// CheckLoopback refuses an admin address that other machines reach.
func CheckLoopback(address string) error { panic("not yet") }
