package telemetry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// traces is a provider and its end.
type traces struct {
	trace.TracerProvider
	recording bool // there is a collector
	shutdown  func(context.Context) error
}

func newTraces(ctx context.Context, cfg Config, log *slog.Logger) (*traces, error) {
	if cfg.OTLPEndpoint == "" {
		return &traces{passing{}, false, func(context.Context) error { return nil }}, nil
	}
	if !strings.HasPrefix(cfg.OTLPEndpoint, "http://") && !strings.HasPrefix(cfg.OTLPEndpoint, "https://") {
		return nil, errors.New("the collector is a URL: http://host:4317 or https://host:4317")
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(cfg.OTLPEndpoint))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// The SDK reports lost spans in one place for the whole process; by default that is plain text on
	// standard error, between our lines of JSON.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces do not reach the collector", "error", err) }))
	about := resource.NewSchemaless(attribute.String("service.name", cfg.service()), attribute.String("service.version", cfg.version()))
	sdk := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithBatcher(exporter), sdktrace.WithSampler(sampler(cfg.SampleRatio)),
	)
	return &traces{sdk, true, sdk.Shutdown}, nil
}

// sampler keeps the choice of who called us; a new trace is recorded by ratio.
func sampler(ratio float64) sdktrace.Sampler {
	if ratio <= 0 || ratio >= 1 {
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	}
	return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))
}

// Propagator reads and writes W3C trace context. Instrumentation is given it by name, since the
// process-wide default carries nothing.
func (t *Telemetry) Propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }

// passing is the provider of a process without a collector. It records nothing and hands a caller's
// trace on as it came, sampled or not: the SDK with a sampler that says never would clear the caller's
// flag, and cut other people's traces in two at this process. A request without a trace begins one that
// is not sampled, so that its log lines and its audit entries can be told together.
type passing struct{ noop.TracerProvider }

// Tracer implements trace.TracerProvider.
func (passing) Tracer(string, ...trace.TracerOption) trace.Tracer { return passingTracer{} }

type passingTracer struct{ noop.Tracer }

// Start implements trace.Tracer.
func (t passingTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		var trc trace.TraceID
		var span trace.SpanID
		_, _ = rand.Read(trc[:]) // never fails (crypto/rand)
		_, _ = rand.Read(span[:])
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: trc, SpanID: span}))
	}
	return t.Tracer.Start(ctx, name, opts...)
}
