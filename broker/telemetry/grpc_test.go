package telemetry_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/intercom-broker/intercom/broker/telemetry"
)

// seen is a service that notes which trace a call belongs to.
type seen struct {
	grpc_health_v1.UnimplementedHealthServer
	spans chan trace.SpanContext
}

func (s *seen) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	s.spans <- trace.SpanContextFromContext(ctx)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func (s *seen) Watch(_ *grpc_health_v1.HealthCheckRequest, stream grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	s.spans <- trace.SpanContextFromContext(stream.Context())
	return stream.Send(&grpc_health_v1.HealthCheckResponse{})
}

func serveSeen(t *testing.T, opts []grpc.ServerOption) (*seen, grpc_health_v1.HealthClient) {
	t.Helper()
	s := &seen{spans: make(chan trace.SpanContext, 1)}
	srv := grpc.NewServer(opts...)
	grpc_health_v1.RegisterHealthServer(srv, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return s, grpc_health_v1.NewHealthClient(conn)
}

// A call and a stream belong to their caller's trace, and to a new one where the caller has none.
func TestGRPCGoesOnWithTheCallersTrace(t *testing.T) {
	for name, endpoint := range map[string]string{"without a collector": "", "with one": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			tel := open(t, telemetry.Config{LogOutput: io.Discard, OTLPEndpoint: endpoint})
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				_ = tel.Shutdown(ctx) // nobody is there
			})
			s, client := serveSeen(t, tel.GRPCServer())
			for kind, call := range map[string]func(context.Context) error{
				"a call": func(ctx context.Context) error {
					_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
					return err
				},
				"a stream": func(ctx context.Context) error {
					stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
					if err == nil {
						_, err = stream.Recv()
					}
					return err
				},
			} {
				spanOf := func(parent ...string) trace.SpanContext {
					if err := call(metadata.AppendToOutgoingContext(t.Context(), parent...)); err != nil {
						t.Fatal(kind, err)
					}
					return <-s.spans
				}
				if got := spanOf("traceparent", callers); got.TraceID().String() != strings.Split(callers, "-")[1] {
					t.Errorf("%s with a trace belongs to %s", kind, got.TraceID())
				}
				if a, b := spanOf(), spanOf(); !a.IsValid() || !b.IsValid() || a.TraceID() == b.TraceID() {
					t.Errorf("%ss without a trace belong to %s and %s", kind, a.TraceID(), b.TraceID())
				}
			}
		})
	}
}
