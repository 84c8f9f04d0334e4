package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/intercom-broker/intercom/broker/fault"
)

// speaking is a gRPC server that echoes every message of every method, for callers with the right
// credential, and ends as the method's name says.
func speaking() *grpc.Server {
	return grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		md, _ := metadata.FromIncomingContext(s.Context())
		if got := md.Get("authorization"); len(got) != 1 || got[0] != basic {
			return status.Errorf(codes.Unauthenticated, "authorization %q", got)
		}
		if strings.HasSuffix(method, "/Refuse") {
			return status.Error(codes.FailedPrecondition, "no, 100% no")
		}
		if strings.HasSuffix(method, "/Slow") {
			time.Sleep(2 * headerTimeout)
		}
		s.SetTrailer(metadata.Pairs("x-sum", "1", "x-leak", password))
		for {
			m := new(wrapperspb.StringValue)
			if err := s.RecvMsg(m); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if m.Value == "fail" {
				return status.Error(codes.DataLoss, "after the fact")
			}
			if err := s.SendMsg(m); err != nil {
				return err
			}
		}
	}))
}

// grpcUpstream serves speaking in plain HTTP/2, or with TLS through net/http.
func (d *door) grpcUpstream(t *testing.T, secure bool) (flow string) {
	t.Helper()
	s := speaking()
	if secure {
		return d.secureUpstream(t, s.ServeHTTP)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return at("http://" + l.Addr().String())
}

// conn dials the door as a gRPC client whose authority names the service.
func (d *door) conn(t *testing.T, authority string) *grpc.ClientConn {
	t.Helper()
	cfg := d.clientTLS("/orders", "h2")
	c, err := grpc.NewClient("passthrough:///"+d.addr, grpc.WithTransportCredentials(credentials.NewTLS(cfg)), grpc.WithAuthority(authority))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func echoed(ctx context.Context, c *grpc.ClientConn, method, text string, opts ...grpc.CallOption) (string, error) {
	out := new(wrapperspb.StringValue)
	err := c.Invoke(ctx, method, wrapperspb.String(text), out, opts...)
	return out.Value, err
}

func TestGRPC(t *testing.T) {
	d := newDoor(t, "  x: http://x\n")
	d.services(t, crm(d.grpcUpstream(t, false))+strings.Replace(crm(d.grpcUpstream(t, true)), "crm:", "secure:", 1))
	for _, authority := range []string{"crm", "secure"} {
		t.Run(authority, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			c := d.conn(t, authority)
			var head, trailer metadata.MD
			if got, err := echoed(ctx, c, "/t.Echo/Say", "hello", grpc.Header(&head), grpc.Trailer(&trailer)); err != nil || got != "hello" {
				t.Errorf("unary: %q, %v", got, err)
			}
			if len(head.Get("intercom-decision")) != 1 || len(trailer.Get("x-sum")) != 1 || len(trailer.Get("x-leak")) != 0 {
				t.Errorf("metadata %v %v", head, trailer)
			}
			if _, err := echoed(ctx, c, "/t.Echo/Refuse", "x"); status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "no, 100% no" {
				t.Errorf("trailers alone: %v", err)
			}
			if _, err := echoed(ctx, c, "/t.Echo/Say", "fail"); status.Code(err) != codes.DataLoss {
				t.Errorf("an error after the head: %v", err)
			}
			converse(t, ctx, c)
		})
	}
}

// converse holds that a stream is live in both directions: each message waits for the echo of the one before.
func converse(t *testing.T, ctx context.Context, c *grpc.ClientConn) {
	t.Helper()
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/t.Echo/Talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", strings.Repeat("two ", 100_000), "three"} {
		if err := s.SendMsg(wrapperspb.String(text)); err != nil {
			t.Fatal(err)
		}
		got := new(wrapperspb.StringValue)
		if err := s.RecvMsg(got); err != nil || got.Value != text {
			t.Fatalf("got %d bytes, %v", len(got.Value), err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) || len(s.Trailer().Get("x-sum")) != 1 {
		t.Errorf("ended with %v, %v", err, s.Trailer())
	}
}

// TestGRPCRefusals: what is ours to refuse arrives as a status with our details, not as a problem.
func TestGRPCRefusals(t *testing.T) {
	d := newDoor(t, crm(at("http://127.0.0.1:1"))+"  guarded:\n    upstream: http://127.0.0.1:1\n    inject: { basic: { credential: crm/login } }\n")
	d.rules.set(t, "p, spiffe://intercom.test/orders, call, service/*/POST/**, allow", "p, spiffe://intercom.test/orders, call, service/*/POST/t.Echo/Denied, deny")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, test := range []struct {
		authority, method string
		code              codes.Code
		reason            string
		decided           bool
	}{
		{"crm", "/t.Echo/Denied", codes.PermissionDenied, "denied", true},
		{"crm", "/t.Echo/Say", codes.Unavailable, "UPSTREAM_UNREACHABLE", true},
		{"guarded", "/t.Echo/Say", codes.Unavailable, "UPSTREAM_DIAL_REFUSED", true},
		{"nowhere", "/nowhere/Say", codes.NotFound, "SERVICE_UNKNOWN", true},
		{"crm", "/t.Echo/..;", codes.InvalidArgument, "REQUEST_REFUSED", false},
	} {
		_, err := echoed(ctx, d.conn(t, test.authority), test.method, "x")
		e := fault.FromStatus(err)
		if status.Code(err) != test.code || e.Code() != test.reason || (e.Decision != "") != test.decided {
			t.Errorf("%s%s: %v (%s, %q)", test.authority, test.method, err, e.Code(), e.Decision)
		}
	}
}

// TestGRPCIsByPathToo: a client that cannot set the authority prefixes the method.
func TestGRPCIsByPathToo(t *testing.T) {
	d := newDoor(t, "  x: http://x\n")
	d.services(t, crm(d.grpcUpstream(t, false)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if got, err := echoed(ctx, d.conn(t, d.addr), "/crm/t.Echo/Say", "hello"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestIdleStreamOutlivesTheHeaderTimeout: a gRPC server may say nothing at all for long, also to who has said
// everything.
func TestIdleStreamOutlivesTheHeaderTimeout(t *testing.T) {
	d := newDoor(t, "  x: http://x\n", impatient)
	d.services(t, crm(d.grpcUpstream(t, false)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if got, err := echoed(ctx, d.conn(t, "crm"), "/t.Echo/Slow", "x"); err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}
