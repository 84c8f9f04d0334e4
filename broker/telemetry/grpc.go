package telemetry

import (
	"context"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// GRPCServer returns the options with which a gRPC server goes on with its callers' traces. They come
// before other interceptors.
//
// Without a collector nobody hears of what otelgrpc gathers of each call, and of an exchange it would be
// one part in twenty-five.
func (t *Telemetry) GRPCServer() []grpc.ServerOption {
	if t.traces.recording {
		return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(t.traces), otelgrpc.WithPropagators(t.Propagator())))}
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			return next(t.goOn(ctx), req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			return next(srv, &streamOf{stream, t.goOn(stream.Context())})
		}),
	}
}

// goOn returns ctx with the caller's trace, or with a new one.
func (t *Telemetry) goOn(ctx context.Context) context.Context {
	ctx, _ = passingTracer{}.Start(t.Propagator().Extract(ctx, incoming{ctx}), "")
	return ctx
}

// incoming reads the metadata of a call without copying all of it.
type incoming struct{ ctx context.Context }

// Get implements propagation.TextMapCarrier.
func (m incoming) Get(key string) string {
	if values := metadata.ValueFromIncomingContext(m.ctx, key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set implements propagation.TextMapCarrier; nobody injects here.
func (incoming) Set(string, string) {}

// Keys implements propagation.TextMapCarrier; the W3C trace context asks for its own by name.
func (incoming) Keys() []string { return nil }

type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *streamOf) Context() context.Context { return s.ctx }
