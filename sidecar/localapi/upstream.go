package localapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// Upstreams says which servers are believed to be the services that we call ourselves.
type Upstreams struct {
	// TrustDomains are those whose SVIDs are accepted; none means that of our own SVID.
	TrustDomains []spiffeid.TrustDomain
	// RootCAs verify certificates that are no SVIDs; nil means the system's.
	RootCAs *x509.CertPool
	// IDs name the one SPIFFE ID of a service, by the service's name; a service that is not named may
	// show any SVID of the trust domains, or an ordinary certificate.
	IDs map[string]spiffeid.ID
}

// errUpstream is the cause of failures to verify a service.
var errUpstream = errors.New("the service's certificate is not trusted")

// upstream dials one service.
type upstream struct {
	route *route
	plain *http.Transport // no client certificate
	h2c   *http.Transport // gRPC without TLS

	latest atomic.Pointer[boundTrip]
	mu     sync.Mutex
	mine   []*boundTrip
}

// boundTrip is the way to the service with one SVID.
type boundTrip struct {
	conn *client.Conn
	trip http.RoundTripper
}

func newUpstream(rt *route) *upstream {
	u := &upstream{route: rt, plain: newTransport(rt), h2c: newTransport(rt)}
	u.plain.TLSClientConfig = u.tls(nil)
	u.plain.ForceAttemptHTTP2 = true
	u.h2c.Protocols = new(http.Protocols)
	u.h2c.Protocols.SetUnencryptedHTTP2(true)
	return u
}

func newTransport(rt *route) *http.Transport {
	return &http.Transport{
		DialContext:         dialer(rt).DialContext,
		MaxIdleConnsPerHost: 64,
		// Shorter than servers keep theirs, so that a request seldom meets a connection that just closes.
		IdleConnTimeout:     30 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		// What the service compressed is the application's to read.
		DisableCompression: true,
	}
}

func dialer(rt *route) *net.Dialer {
	return hygiene.Lively(&net.Dialer{Timeout: 5 * time.Second, Control: hygiene.Guard(rt.dial)})
}

// transport returns the way for r, which carries a token of conn where the service binds tokens.
func (u *upstream) transport(conn *client.Conn, r *http.Request) http.RoundTripper {
	switch {
	case u.route.bound():
		return u.bound(conn)
	case u.route.base.Scheme == "http" && isGRPC(r):
		return u.h2c
	default:
		return u.plain
	}
}

// bound returns the way with conn's SVID. Around a rotation there are two: requests that have a token for
// the former SVID are finished with it.
func (u *upstream) bound(conn *client.Conn) http.RoundTripper {
	if b := u.latest.Load(); b != nil && b.conn == conn {
		return b.trip
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mine = slices.DeleteFunc(u.mine, func(b *boundTrip) bool { return isDone(b.conn) && b.conn != conn })
	for _, b := range u.mine {
		if b.conn == conn {
			return b.trip
		}
	}
	b := &boundTrip{conn: conn, trip: conn.Transport(u.tls(conn), dialer(u.route).DialContext)}
	u.mine = append(u.mine, b)
	if !isDone(conn) {
		u.latest.Store(b)
	}
	return b.trip
}

func isDone(conn *client.Conn) bool {
	select {
	case <-conn.Done():
		return true
	default:
		return false
	}
}

func (u *upstream) close() {
	u.plain.CloseIdleConnections()
	u.h2c.CloseIdleConnections()
}

// tls returns a configuration that verifies the service, and shows conn's SVID unless that is nil.
func (u *upstream) tls(conn *client.Conn) *tls.Config {
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, // services are others' servers
		// Not insecure: verify does the whole of it, for SVIDs, which have no host name, and for others.
		InsecureSkipVerify: true, //nolint:gosec // G402: see above
		VerifyConnection:   u.verify,
	}
	if conn != nil {
		cfg.GetClientCertificate = tlsconfig.GetClientCertificate(conn.SVID())
	}
	return cfg
}

// verify holds the server to what [Upstreams] says.
func (u *upstream) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errUpstream
	}
	cfg := u.route.api.cfg
	want, named := cfg.Upstreams.IDs[u.route.name()]
	var err error
	if leaf := state.PeerCertificates[0]; hasSPIFFE(leaf) {
		authorize := mtls.AllowDomains(u.route.api.trustDomains()...)
		if named {
			authorize = tlsconfig.AuthorizeID(want)
		}
		own := cfg.Client.Conn().SVID()
		err = mtls.Client(own, cfg.Bundles, authorize).VerifyConnection(state)
	} else if named {
		err = fmt.Errorf("want the SVID of %s, got a certificate without a SPIFFE ID", want)
	} else {
		err = u.verifyHost(state)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUpstream, err)
	}
	return nil
}

// verifyHost is what crypto/tls does by itself when it is not told otherwise.
func (u *upstream) verifyHost(state tls.ConnectionState) error {
	opts := x509.VerifyOptions{
		Roots:         u.route.api.cfg.Upstreams.RootCAs,
		DNSName:       u.route.base.Hostname(),
		Intermediates: x509.NewCertPool(),
	}
	for _, cert := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(opts)
	return err
}

func hasSPIFFE(leaf *x509.Certificate) bool {
	for _, uri := range leaf.URIs {
		if uri.Scheme == "spiffe" {
			return true
		}
	}
	return false
}
