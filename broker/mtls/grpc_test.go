package mtls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// connections is a stats.Handler of a client that remembers when each of its connections began and ended.
type connections struct {
	mu    sync.Mutex
	lives []time.Duration
}

type beganKey struct{}

func (c *connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, beganKey{}, time.Now())
}

func (c *connections) HandleConn(ctx context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lives = append(c.lives, time.Since(ctx.Value(beganKey{}).(time.Time)))
	}
}

func (c *connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (c *connections) HandleRPC(context.Context, stats.RPCStats)                       {}

func (c *connections) ended() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration(nil), c.lives...)
}

// TestRotationUnderLoad: brief SVIDs rotate under calls that never pause. No call fails, and the
// connections are replaced.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	onSteadyMachine(t, func() []error { return rotateUnderLoad(t) })
}

func rotateUnderLoad(t *testing.T) (failures []error) {
	f := newFixture(t, brief)
	var thumbprints sync.Map
	seen := func() (n int) {
		thumbprints.Range(func(any, any) bool { n++; return true })
		return n
	}
	addr, stop := serveGRPC(t, f.config(), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			p, _ := peer.FromContext(ctx)
			id, cert, err := mtls.Peer(p.AuthInfo.(credentials.TLSInfo).State)
			if err != nil || id != f.client.ID() {
				return nil, status.Errorf(codes.Unauthenticated, "%v: %v", id, err)
			}
			thumbprints.Store(mtls.Thumbprint(cert), true)
			return next(ctx, req)
		}))
	defer func() { _ = stop() }()
	var conns connections
	client := f.dial(t, addr, grpc.WithStatsHandler(&conns))
	var calls atomic.Int64
	failures = hammer(t, 4, func() error {
		_, err := client.Check(context.Background(), &healthv1.HealthCheckRequest{})
		calls.Add(1)
		return err
	}, func() bool { return testing.Short() || seen() > 2 && len(conns.ended()) > 2 })
	t.Logf("%d calls, %d failed, %d client certificates, %d connections replaced", calls.Load(), len(failures), seen(), len(conns.ended()))
	if !testing.Short() && (seen() < 3 || len(conns.ended()) < 3) {
		failures = append(failures, fmt.Errorf("%d client certificates and %d replaced connections: nothing rotated", seen(), len(conns.ended())))
	}
	if n := telemetrytest.Value(t, f.registry, "intercom_mtls_connections_expired_total"); n != 0 {
		failures = append(failures, fmt.Errorf("%v connections lived until notAfter, though nothing held them", n))
	}
	return failures
}

// TestOurOwnShortLife: a client whose SVID lives long ends its connection with ours, so it is asked to go
// before that too.
func TestOurOwnShortLife(t *testing.T) {
	t.Parallel()
	onSteadyMachine(t, func() []error {
		short, long := newDomain(t, "short.test", brief), newDomain(t, "long.test", time.Hour)
		short.Federate(long)
		long.Federate(short)
		broker, orders := short.Source(short.ID("/broker")), long.Source(long.ID("/orders"))
		addr, stop := serveGRPC(t, mtls.Config{TLS: mtls.Server(broker, broker, mtls.AllowDomains(long.Name()))})
		defer func() { _ = stop() }()
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(mtls.ClientCredentials(
			mtls.Client(orders, orders, mtls.AllowDomains(short.Name())))))
		if err != nil {
			return []error{err}
		}
		defer conn.Close()
		client := healthv1.NewHealthClient(conn)
		return hammer(t, 2, func() error {
			_, err := client.Check(context.Background(), &healthv1.HealthCheckRequest{})
			return err
		}, func() bool { return true })
	})
}

// TestAuthorityRotationUnderLoad prepares a new authority, lets everybody learn it, and signs with it.
func TestAuthorityRotationUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2*time.Second)
	addr, _ := serveGRPC(t, f.config())
	client := f.dial(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			<-time.After(200 * time.Millisecond)
			_ = f.domain.PrepareAuthority()
			_ = f.domain.RotateAuthority()
		}
	}()
	for ctx.Err() == nil {
		if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdleConnectionIsAskedToGo watches one connection that nothing is called on.
func TestIdleConnectionIsAskedToGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2*time.Second)
	addr, _ := serveGRPC(t, f.config())
	own, err := f.client.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	half := time.Until(own.Certificates[0].NotAfter) / 2
	var conns connections
	client := f.dial(t, addr, grpc.WithStatsHandler(&conns))
	if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection went", func() bool { return len(conns.ended()) > 0 })
	// Not before a third of the half, and not after it but for a slow machine.
	if life := conns.ended()[0]; life < half/3 || life > half+time.Second {
		t.Errorf("the connection lived %v; it was to be asked to go by %v", life, half)
	}
}

// TestStreamEndsAtNotAfter: GOAWAY leaves a stream alone, the end of the SVID does not, whichever of the
// two ends keeps watch.
func TestStreamEndsAtNotAfter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for an SVID to end")
	}
	for name, tc := range map[string]struct {
		plainServer bool // grpc-go alone, which never looks again
		credentials func(*tls.Config) credentials.TransportCredentials
	}{
		"the server's watch": {false, credentials.NewTLS},
		"the client's watch": {true, mtls.ClientCredentials},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, time.Second)
			client, server := notAfter(t, f.client), notAfter(t, f.broker)
			addr := f.serveEither(t, tc.plainServer)
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(tc.credentials(f.clientTLS())))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			stream, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the stream ended with %v", err)
			}
			end := map[bool]time.Time{false: client, true: server}[tc.plainServer]
			if late := time.Since(end); late < -100*time.Millisecond || late > 3*time.Second {
				t.Errorf("the stream ended %v after notAfter", late)
			}
			eventually(t, "it is counted", func() bool {
				return tc.plainServer || telemetrytest.Value(t, f.registry, "intercom_mtls_connections_expired_total") == 1
			})
		})
	}
}

func notAfter(t *testing.T, s *embedded.Source) time.Time {
	t.Helper()
	own, err := s.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	return own.Certificates[0].NotAfter
}

// serveEither serves the health service by ServeGRPC, or by grpc-go's own TLS credentials.
func (f *fixture) serveEither(t *testing.T, plain bool) (addr string) {
	t.Helper()
	if !plain {
		addr, _ = serveGRPC(t, f.config())
		return addr
	}
	l := listen(t)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(f.serverTLS("h2"))))
	healthv1.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// TestGoneBundleCutsConnections: what was trusted at the handshake may not be any more.
func TestGoneBundleCutsConnections(t *testing.T) {
	f := newFixture(t, time.Hour)
	trusted := &revocable{Source: f.broker, changed: make(chan struct{})}
	cfg := f.config()
	cfg.TLS = mtls.Server(f.broker, trusted, mtls.AllowDomains(f.domain.Name()))
	cfg.Updated = trusted.Updated
	addr, _ := serveGRPC(t, cfg)
	stream, err := f.dial(t, addr).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	f.domain.Rotate()
	trusted.change(false) // a change that takes nothing away
	other := f.dial(t, addr)
	if _, err := other.Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	if n := telemetrytest.Value(t, f.registry, "intercom_mtls_connections_revoked_total"); n != 0 {
		t.Errorf("%v connections were cut without a reason", n)
	}
	trusted.change(true)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream of a domain that is gone: %v", err)
	}
	eventually(t, "both are cut", func() bool { return telemetrytest.Value(t, f.registry, "intercom_mtls_connections_revoked_total") == 2 })
}

// revocable is a bundle source whose bundles can go.
type revocable struct {
	*embedded.Source
	mu      sync.Mutex
	gone    bool
	changed chan struct{}
}

func (r *revocable) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return nil, errors.New("no bundle")
	}
	return r.Source.GetX509BundleForTrustDomain(td)
}

func (r *revocable) Updated() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *revocable) change(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
	close(r.changed)
	r.changed = make(chan struct{})
}

func TestWithoutALPNRefused(t *testing.T) {
	f := newFixture(t, time.Hour)
	addr, _ := serveGRPC(t, f.config())
	if _, err := handshake(addr, f.clientTLS()); err == nil {
		t.Error("a client that speaks who knows what was let in")
	}
	eventually(t, "it is counted", func() bool {
		return telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result=no_http2") == 1
	})
}

// TestDrain: at the end a call in flight is waited for, and no longer than the grace.
func TestDrain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		takes, grace time.Duration
		want         codes.Code
	}{
		"within the grace": {200 * time.Millisecond, 5 * time.Second, codes.OK},
		"over the grace":   {time.Minute, 100 * time.Millisecond, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, time.Hour)
			cfg := f.config()
			cfg.Grace = tc.grace
			started := make(chan struct{})
			addr, stop := serveGRPC(t, cfg, grpc.UnaryInterceptor(
				func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
					close(started)
					select {
					case <-time.After(tc.takes):
					case <-ctx.Done():
					}
					return next(ctx, req)
				}))
			client := f.dial(t, addr)
			answered := make(chan error, 1)
			go func() {
				_, err := client.Check(context.Background(), &healthv1.HealthCheckRequest{})
				answered <- err
			}()
			<-started
			begin := time.Now()
			if err := stop(); err != nil {
				t.Errorf("ServeGRPC: %v", err)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the drain took %v", took)
			}
			if err := <-answered; status.Code(err) != tc.want {
				t.Errorf("the call in flight: %v, want %v", err, tc.want)
			}
			if _, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
				t.Error("still listening after the drain")
			}
		})
	}
}
