package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"math/bits"
	"net"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// ServeGRPC serves gRPC on l until ctx ends, and then drains: calls in flight have cfg.Grace to end.
//
// newServer is called once for each connection age that occurs, at most 23 times, and each time registers
// all services. It hands opts to grpc.NewServer after its own options: they carry the verified peer and
// the age.
func ServeGRPC(ctx context.Context, l net.Listener, cfg Config, newServer func(opts ...grpc.ServerOption) *grpc.Server) error {
	cfg = cfg.withDefaults()
	cfg.TLS = cfg.TLS.Clone()
	cfg.TLS.NextProtos = []string{"h2"}
	d := newDoor(l, cfg)
	defer context.AfterFunc(ctx, func() { _ = d.Close() })()
	b := &buckets{cfg: cfg, addr: l.Addr(), newServer: newServer, byAge: map[time.Duration]*bucket{}}
	for {
		conn, err := d.Accept()
		if err != nil {
			b.drain()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != "h2" {
			d.report.refused(conn.RemoteAddr(), refuse(noHTTP2, spiffeid.ID{}, errors.New("the client did not ask for HTTP/2 by ALPN")))
			_ = conn.Close()
			continue
		}
		b.of(conn).feed(conn)
	}
}

// The ages of connections, as powers of two in nanoseconds: from 1 ms to 73 min. Connections older than
// that would keep new replicas without work.
const (
	minAge time.Duration = 1 << 20
	maxAge time.Duration = 1 << 42
)

// ageOf returns the greatest age that ends, with a tenth of jitter (keepalive.ServerParameters), before
// the connection has to be asked to go.
func ageOf(untilRenew time.Duration) time.Duration {
	limit := untilRenew / 11 * 10
	if limit < minAge {
		return minAge
	}
	return min(maxAge, 1<<(bits.Len64(uint64(limit))-1))
}

// buckets holds one server for each age. Only the goroutine of ServeGRPC uses it.
type buckets struct {
	cfg       Config
	addr      net.Addr
	newServer func(opts ...grpc.ServerOption) *grpc.Server
	byAge     map[time.Duration]*bucket
}

func (b *buckets) of(conn net.Conn) *bucket {
	age := maxAge
	if life, ok := beneath(conn); ok && !life.renewAt().IsZero() {
		age = ageOf(time.Until(life.renewAt()))
	}
	if at, ok := b.byAge[age]; ok {
		return at
	}
	at := &bucket{addr: b.addr, conns: make(chan net.Conn), done: make(chan struct{})}
	at.server = b.newServer(
		grpc.Creds(handedOver{}),
		grpc.ConnectionTimeout(b.cfg.HandshakeTimeout),
		// The grace after the age stays without end: the connection ends at notAfter.
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: age, Time: 2 * time.Minute, Timeout: 20 * time.Second}),
	)
	b.byAge[age] = at
	go func() { _ = at.server.Serve(at) }() // ends with Stop
	return at
}

// drain lets calls in flight end within the grace, and then cuts them.
func (b *buckets) drain() {
	var wg sync.WaitGroup
	for _, at := range b.byAge {
		cut := time.AfterFunc(b.cfg.Grace, at.server.Stop)
		wg.Go(func() {
			at.server.GracefulStop()
			cut.Stop()
		})
	}
	wg.Wait()
}

// bucket is a server and the listener that it accepts from.
type bucket struct {
	server *grpc.Server
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	done   chan struct{}
}

func (b *bucket) feed(conn net.Conn) {
	select {
	case b.conns <- conn:
	case <-b.done:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (b *bucket) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (b *bucket) Close() error {
	b.once.Do(func() { close(b.done) })
	return nil
}

// Addr implements net.Listener.
func (b *bucket) Addr() net.Addr { return b.addr }

// handedOver are server credentials for connections whose handshake is done.
type handedOver struct{}

// ServerHandshake implements credentials.TransportCredentials.
func (handedOver) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil, nil, errors.New("mtls: a connection without TLS")
	}
	return conn, tlsInfo(secure.ConnectionState()), nil
}

func tlsInfo(state tls.ConnectionState) credentials.TLSInfo {
	return credentials.TLSInfo{
		State:          state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}
}

// ClientHandshake implements credentials.TransportCredentials.
func (handedOver) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("mtls: server credentials")
}

// Info implements credentials.TransportCredentials.
func (handedOver) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone implements credentials.TransportCredentials.
func (c handedOver) Clone() credentials.TransportCredentials { return c }

// OverrideServerName implements credentials.TransportCredentials.
func (handedOver) OverrideServerName(string) error { return nil }
