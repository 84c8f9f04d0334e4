package outbound

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// Config configures a Transport.
type Config struct {
	// Dial are the networks that the guard opens beyond public and private ones.
	Dial []netip.Prefix
	// RootCAs are who may vouch for https services; nil means the system's. There is no way to vouch for
	// nobody.
	RootCAs *x509.CertPool
	// Certificates are shown to services that ask for one; none means that none is.
	Certificates []tls.Certificate
	// DialTimeout bounds connecting, and then TLS; 0 means DefaultDialTimeout.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for a response head, after the request was sent; 0 means that nothing does.
	HeaderTimeout time.Duration
}

// DefaultDialTimeout bounds connecting to a service where nobody says otherwise.
const DefaultDialTimeout = 5 * time.Second

// idle is how long a connection is kept for the next request: less than the shortest keep-alive that
// is common among servers (Node's 5 s), because a request that crosses the server's close is lost, and one
// with a body cannot be sent again.
const idle = 4 * time.Second

// Transport returns the way to the services of one place, over HTTP/1.1 and, where TLS negotiates it, HTTP/2.
func Transport(cfg Config) *http.Transport {
	timeout := cmp.Or(cfg.DialTimeout, DefaultDialTimeout)
	dialer := hygiene.Lively(&net.Dialer{Timeout: timeout, Control: hygiene.Guard(cfg.Dial)})
	t := &http.Transport{
		Proxy:                  nil, // a proxy would dial in our place, beyond the guard
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.RootCAs, Certificates: cfg.Certificates, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  cfg.HeaderTimeout,
		MaxIdleConnsPerHost:    512, // the default of 2 makes every burst a storm of dials
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // bodies pass as they are
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	return t
}
