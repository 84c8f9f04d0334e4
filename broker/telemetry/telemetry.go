// Package telemetry is how the process tells how it is: logs, metrics, traces and the admin listener.
//
// It is imported by assemblies only; everything else takes a logger, a tracer, a registerer. README.md
// beside this file lists every metric with its labels, which are bounded: no label holds what a caller
// chose.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
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

// Telemetry holds one process's logger, registry and tracer provider.
type Telemetry struct {
	logger   *slog.Logger
	registry *prometheus.Registry
	traces   *sdktrace.TracerProvider
}

// New builds Telemetry. It does not wait for the collector.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	var level slog.Level
	if cfg.LogLevel != "" {
		if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", cfg.LogLevel)
		}
	}
	out := cfg.LogOutput
	if out == nil {
		out = os.Stderr
	}
	traces, err := newTraces(ctx, cfg)
	if err != nil {
		return nil, err
	}
	handler := slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	return &Telemetry{
		logger:   slog.New(traced{handler}).With("service", cfg.service()),
		registry: newRegistry(),
		traces:   traces,
	}, nil
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector(),
	)
	return r
}

func newTraces(ctx context.Context, cfg Config) (*sdktrace.TracerProvider, error) {
	about := resource.NewSchemaless(attribute.String("service.name", cfg.service()), attribute.String("service.version", cfg.Version))
	if cfg.OTLPEndpoint == "" {
		return sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.NeverSample())), nil
	}
	if !strings.HasPrefix(cfg.OTLPEndpoint, "http://") && !strings.HasPrefix(cfg.OTLPEndpoint, "https://") {
		return nil, errors.New("the collector is a URL: http://host:4317 or https://host:4317")
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(cfg.OTLPEndpoint))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithBatcher(exporter), sdktrace.WithSampler(sampler(cfg.SampleRatio)),
	), nil
}

// sampler keeps the choice of who called us; a new trace is recorded by ratio.
func sampler(ratio float64) sdktrace.Sampler {
	if ratio <= 0 || ratio >= 1 {
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
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
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.traces.Shutdown(ctx) }

// traced adds the trace id of the context to each record, so that a log line leads to its trace.
type traced struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		r.AddAttrs(slog.String("trace", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(a)} }

// WithGroup implements [slog.Handler].
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
