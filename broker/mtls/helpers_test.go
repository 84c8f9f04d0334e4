package mtls_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/patience"
)

func newDomain(t *testing.T, name string, life time.Duration) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString(name), SVIDLife: life})
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
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// fixture is a domain with a broker and a client in it.
type fixture struct {
	domain         *embedded.Domain
	broker, client *embedded.Source
	registry       *prometheus.Registry
	metrics        *mtls.Metrics
}

func newFixture(t *testing.T, life time.Duration) *fixture {
	t.Helper()
	d := newDomain(t, "a.test", life)
	r := prometheus.NewRegistry()
	return &fixture{d, d.Source(d.ID("/broker")), d.Source(d.ID("/orders")), r, mtls.NewMetrics(r)}
}

func (f *fixture) serverTLS(nextProtos ...string) *tls.Config {
	return mtls.Server(f.broker, f.broker, mtls.AllowDomains(f.domain.Name()), nextProtos...)
}

func (f *fixture) clientTLS(nextProtos ...string) *tls.Config {
	return mtls.Client(f.client, f.client, mtls.AllowDomains(f.domain.Name()), nextProtos...)
}

func (f *fixture) config() mtls.Config {
	return mtls.Config{Name: "mesh", TLS: f.serverTLS(), Metrics: f.metrics}
}

// serveGRPC serves the health service until the test ends, or until the returned function is called,
// which returns what ServeGRPC did.
func serveGRPC(t *testing.T, cfg mtls.Config, opts ...grpc.ServerOption) (addr string, stop func() error) {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	shared := health.NewServer()
	go func() {
		done <- mtls.ServeGRPC(ctx, l, cfg, func(more ...grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(opts, more...)...)
			healthv1.RegisterHealthServer(s, shared)
			return s
		})
		close(done)
	}()
	stop = func() error { cancel(); return <-done }
	t.Cleanup(func() { _ = stop() })
	return l.Addr().String(), stop
}

func (f *fixture) dial(t *testing.T, addr string, opts ...grpc.DialOption) healthv1.HealthClient {
	t.Helper()
	opts = append(opts, grpc.WithTransportCredentials(mtls.ClientCredentials(f.clientTLS())))
	conn, err := grpc.NewClient(addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthv1.NewHealthClient(conn)
}

// handshake connects once and reads until the server says what it thinks: in TLS 1.3 a client learns of
// its refusal only with the first read.
func handshake(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		return conn.ConnectionState(), err
	}
	return conn.ConnectionState(), nil
}

// greet accepts on l and says "ok" to everyone who gets through.
func greet(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.WriteString(conn, "ok")
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}()
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
