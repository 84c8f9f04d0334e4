// Package telemetry is how the process tells how it is: logs, metrics, traces and the admin listener.
//
// It is imported by assemblies only; everything else takes a logger, a tracer, a registerer. README.md
// beside this file lists every metric with its labels, which are bounded: no label holds what a caller
// chose. A test of each assembly holds the list against what is registered, with [Undocumented].
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
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

func (c Config) service() string {
	if c.Service == "" {
		return "intercom"
	}
	return c.Service
}

func (c Config) version() string {
	if c.Version != "" {
		return c.Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func (c Config) level() (level slog.Level, err error) {
	if c.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return 0, fmt.Errorf("log level %q: want debug, info, warn or error", c.LogLevel)
	}
	return level, nil
}

// Telemetry holds one process's logger, registry and tracer provider.
type Telemetry struct {
	logger   *slog.Logger
	registry *prometheus.Registry
	traces   *traces
}

// New builds Telemetry. It does not wait for the collector.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	level, err := cfg.level()
	if err != nil {
		return nil, err
	}
	out := cfg.LogOutput
	if out == nil {
		out = os.Stderr
	}
	t := &Telemetry{logger: newLogger(out, level).With("program", cfg.service()), registry: newRegistry(cfg)}
	if t.traces, err = newTraces(ctx, cfg, t.logger); err != nil {
		return nil, err
	}
	return t, nil
}

func newRegistry(cfg Config) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerBuildInfo(r, cfg)
	return r
}

// registerBuildInfo says which program this is, in the labels of a metric that is always 1.
func registerBuildInfo(r prometheus.Registerer, cfg Config) {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "intercom", Name: "build_info", Help: "Always 1; the labels say which program this is.",
	}, []string{"service", "version", "go"})
	v.WithLabelValues(cfg.service(), cfg.version(), runtime.Version()).Set(1)
	r.MustRegister(v)
}

// Logger returns the JSON logger.
func (t *Telemetry) Logger() *slog.Logger { return t.logger }

// Registry returns the registry that /metrics serves.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// TracerProvider returns the provider, for otelgrpc and otelhttp.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// Tracer returns a tracer of that name.
func (t *Telemetry) Tracer(name string) trace.Tracer { return t.traces.Tracer(name) }

// Shutdown sends what is still held.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.traces.shutdown(ctx) }
