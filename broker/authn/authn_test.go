package authn_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/mtls"
)

func newDomain(t testing.TB, name string) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString(name)})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wantPrincipal compares with the SVID that the caller showed.
func wantPrincipal(t *testing.T, got identity.Principal, ok bool, caller *embedded.Source) {
	t.Helper()
	own, err := caller.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	leaf := own.Certificates[0]
	want := identity.Workload{ID: caller.ID(), Proof: identity.ByX509SVID, Thumbprint: mtls.Thumbprint(leaf), NotAfter: leaf.NotAfter}
	if !ok || got.Workload != want || got.User != nil || len(got.Actors) != 0 {
		t.Errorf("the principal is %+v, want the workload %+v", got, want)
	}
}

func TestHTTP(t *testing.T) {
	d := newDomain(t, "a.test")
	broker, orders := d.Source(d.ID("/broker")), d.Source(d.ID("/orders"))
	l := mtls.ListenHTTP(listen(t), mtls.Config{TLS: mtls.Server(broker, broker, mtls.AllowDomains(d.Name()), "h2", "http/1.1")})
	seen := make(chan identity.Principal, 1)
	srv := &http.Server{Handler: authn.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, _ := identity.FromContext(r.Context())
		seen <- p
	}))}
	go func() { _ = srv.Serve(l) }()
	defer srv.Close()
	client := &http.Client{Transport: mtls.NewTransport(mtls.TransportConfig{TLS: mtls.Client(orders, orders, mtls.AllowDomains(d.Name()), "h2"), SVID: orders})}
	r, err := http.NewRequest(http.MethodGet, "https://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// What a proxy would say of a certificate is never believed.
	r.Header.Set("X-Forwarded-Client-Cert", "URI=spiffe://a.test/admin")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	wantPrincipal(t, <-seen, true, orders)
}

func TestHTTPWithoutCertificate(t *testing.T) {
	handler := authn.HTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let through") }))
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS": nil, "no certificate": {HandshakeComplete: true, Version: tls.VersionTLS13}, "TLS 1.2": {HandshakeComplete: true, Version: tls.VersionTLS12},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.TLS = state
		r.Header.Set("X-Forwarded-Client-Cert", "URI=spiffe://a.test/admin")
		handler.ServeHTTP(w, r)
		var problem fault.Problem
		if err := json.NewDecoder(w.Body).Decode(&problem); err != nil || w.Code != http.StatusUnauthorized || problem.Code != "unauthenticated" {
			t.Errorf("%s: %d %+v (%v)", name, w.Code, problem, err)
		}
	}
}

// tell is a health service that tells who asked.
type tell struct {
	*health.Server
	seen chan identity.Principal
}

func (s tell) Check(ctx context.Context, r *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	p, _ := identity.FromContext(ctx)
	s.seen <- p
	return s.Server.Check(ctx, r)
}

func (s tell) Watch(_ *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	p, _ := identity.FromContext(stream.Context())
	s.seen <- p
	return nil
}

func newServer(seen chan identity.Principal) func(...grpc.ServerOption) *grpc.Server {
	return func(opts ...grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(append([]grpc.ServerOption{
			grpc.UnaryInterceptor(authn.UnaryInterceptor()), grpc.StreamInterceptor(authn.StreamInterceptor()),
		}, opts...)...)
		healthv1.RegisterHealthServer(s, tell{health.NewServer(), seen})
		return s
	}
}

func TestGRPC(t *testing.T) {
	d := newDomain(t, "a.test")
	broker, orders := d.Source(d.ID("/broker")), d.Source(d.ID("/orders"))
	l, seen := listen(t), make(chan identity.Principal, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = mtls.ServeGRPC(ctx, l, mtls.Config{TLS: mtls.Server(broker, broker, mtls.AllowDomains(d.Name()))}, newServer(seen))
	}()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(mtls.ClientCredentials(mtls.Client(orders, orders, mtls.AllowDomains(d.Name())))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	if _, err := client.Check(ctx, &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	wantPrincipal(t, <-seen, true, orders)
	stream, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
	wantPrincipal(t, <-seen, true, orders)
}

// TestGRPCWithoutTLS: a door that somebody opened without credentials lets nobody in.
func TestGRPCWithoutTLS(t *testing.T) {
	l, seen := listen(t), make(chan identity.Principal, 1)
	s := newServer(seen)()
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	_, unary := client.Check(t.Context(), &healthv1.HealthCheckRequest{})
	stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, streamed := stream.Recv()
	for name, err := range map[string]error{"unary": unary, "stream": streamed} {
		if fault.FromStatus(err).Kind != fault.Unauthenticated || grpcCode(err) != codes.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(seen) != 0 {
		t.Error("a call was let through")
	}
}

func TestFromTLSRefusesAnEndedCertificate(t *testing.T) {
	d, err := embedded.New(embedded.Config{SVIDLife: time.Minute, Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	ended, err := d.X509SVID(d.ID("/orders"))
	if err != nil {
		t.Fatal(err)
	}
	state := tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13, PeerCertificates: ended.Certificates}
	p, err := authn.FromTLS(state)
	if fault.KindOf(err) != fault.Unauthenticated || !p.IsZero() {
		t.Errorf("%+v: %v", p, err)
	}
}
