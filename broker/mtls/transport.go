package mtls

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// TransportConfig is how a Transport connects.
type TransportConfig struct {
	// TLS is a configuration of Client; required. Its NextProtos choose between HTTP/2 and HTTP/1.1.
	TLS *tls.Config
	// SVID is the source that TLS was made with; required.
	SVID x509svid.Source
	// Dial makes connections; nil means a net.Dialer with a timeout of 5 s, as hygiene.Lively makes it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Transport is an http.RoundTripper over mutual TLS that replaces its connections at three eighths of
// what remains of either SVID. A server of this package asks at half, and over HTTP/2 a request whose
// body cannot be sent again may cross that GOAWAY: a client that moves first never sees it. Connections
// end at the server's notAfter. It is safe for concurrent use.
type Transport struct {
	cfg TransportConfig

	mu      sync.Mutex
	current *generation
}

// generation is a set of connections that are replaced together.
type generation struct {
	transport *http.Transport
	mu        sync.Mutex
	renew     time.Time
}

// NewTransport returns a Transport without connections.
func NewTransport(cfg TransportConfig) *Transport {
	if cfg.Dial == nil {
		cfg.Dial = hygiene.Lively(&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	return &Transport{cfg: cfg}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	g, err := t.generation()
	if err != nil {
		return nil, err
	}
	return g.transport.RoundTrip(r)
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != nil {
		t.current.transport.CloseIdleConnections()
	}
}

func (t *Transport) generation() (*generation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.current != nil && now.Before(t.current.until()) {
		return t.current, nil
	}
	own, err := t.cfg.SVID.GetX509SVID()
	if err != nil {
		return nil, err
	}
	if t.current != nil {
		t.current.transport.CloseIdleConnections() // what is still in use goes after IdleConnTimeout
	}
	t.current = t.newGeneration(now, own.Certificates[0].NotAfter)
	return t.current, nil
}

func (t *Transport) newGeneration(now, ownNotAfter time.Time) *generation {
	g := &generation{}
	g.atMost(now, ownNotAfter)
	g.transport = &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return t.dial(ctx, g, network, address)
		},
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 64,
		// Short enough that an old generation is gone, once its last request is, before notAfter.
		IdleConnTimeout: min(30*time.Second, ownNotAfter.Sub(now)/8),
		// What the server compressed is the caller's to read: a proxy passes it on as it is.
		DisableCompression: true,
	}
	return g
}

func (t *Transport) dial(ctx context.Context, g *generation, network, address string) (net.Conn, error) {
	raw, err := t.cfg.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	life := &lifeConn{Conn: raw}
	cfg := t.cfg.TLS.Clone()
	cfg.ServerName, _, _ = net.SplitHostPort(address) // for what routes by it; who it is, the SVID says
	secure := tls.Client(life, cfg)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = life.Close()
		return nil, err
	}
	now, end := time.Now(), secure.ConnectionState().PeerCertificates[0].NotAfter
	life.live(now, end, time.Time{}, func() {})
	g.atMost(now, end)
	return secure, nil
}

// atMost brings the renewal forward to three eighths of the way to end.
func (g *generation) atMost(now, end time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := now.Add(end.Sub(now) / 8 * 3); g.renew.IsZero() || at.Before(g.renew) {
		g.renew = at
	}
}

func (g *generation) until() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.renew
}
