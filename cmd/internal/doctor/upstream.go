package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
)

// atOnce is how many upstreams are dialled at a time.
const atOnce = 16

// upstreams dials the services to which the gateway itself sends browsers' requests.
func (g *gatewayExam) upstreams(ctx context.Context, r rows) {
	var own []*service.Service
	for _, s := range g.services {
		if s.Mode != service.ModeInject { // those go through a broker
			own = append(own, s)
		}
	}
	pool, ok := roots(r, key("upstream_ca"), g.Gateway.UpstreamCA)
	if ok {
		dialer{pool, g.Now()}.all(ctx, r, own)
	}
}

// dialer says who may vouch for upstreams, and what time it is.
type dialer struct {
	roots *x509.CertPool
	now   time.Time
}

// all dials every place of the services, and tells of those with which something is the matter.
func (d dialer) all(ctx context.Context, r rows, services []*service.Service) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(atOnce)
	places, good := 0, 0
	for _, s := range services {
		for _, target := range s.Upstream.Targets {
			places++
			group.Go(func() error {
				var list []Row
				one := rows{check: r.check, about: s.Name, file: r.file, list: &list}
				d.dial(ctx, one, s, target)
				mu.Lock()
				defer mu.Unlock()
				if len(list) == 0 {
					good++
				}
				*r.list = append(*r.list, list...)
				return nil
			})
		}
	}
	_ = group.Wait()
	switch {
	case places == 0:
		r.skip("no service has an upstream that is called from here")
	case good == places:
		r.ok("%s answer, and prove who they are where they speak https", count(places, "upstream", "upstreams"))
	case good > 0:
		r.ok("%d of %d upstreams are as they should be", good, places)
	}
}

// dial adds no row when all is well.
func (d dialer) dial(ctx context.Context, r rows, s *service.Service, target *url.URL) {
	at := place{pos: s.Pos}
	if target.Scheme == "http" && !loopback(target.Hostname()) {
		clear(r, at, s, target)
	}
	guarded := &net.Dialer{Control: hygiene.Guard(s.Upstream.Dial)}
	address := net.JoinHostPort(target.Hostname(), port(target))
	conn, err := guarded.DialContext(ctx, "tcp", address)
	if err != nil {
		r.fail(at, "start the service, or correct upstream; what the dial guard refuses, dial opens", "%s: %s", address, why(err))
		return
	}
	defer conn.Close()
	if target.Scheme != "https" {
		return
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: d.roots, ServerName: target.Hostname(), MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		r.fail(at, "put its authority into upstream_ca, or give the service a certificate that is good for "+target.Hostname(), "%s: %s", address, why(err))
		return
	}
	if leaf := secure.ConnectionState().PeerCertificates[0]; ending(leaf, d.now) {
		r.warn(at, "renew the service's certificate", "the certificate of %s ends in %s", address, round(leaf.NotAfter.Sub(d.now)))
	}
}

// clear tells of what travels in the clear. A stored credential and a user's token must not; a token for that one service
// is good for minutes.
func clear(r rows, at place, s *service.Service, target *url.URL) {
	cure := "let the service speak https; where another layer encrypts, the gateway starts with --unsafe-plaintext-upstreams"
	switch {
	case s.Inject != nil:
		r.fail(at, "let the service speak https", "%s: a stored credential travels in the clear", target.Host)
	case s.Browser != nil:
		r.fail(at, cure, "%s: what belongs to a user travels in the clear", target.Host)
	default:
		r.warn(at, "let the service speak https", "%s: tokens that are good for minutes travel in the clear", target.Host)
	}
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// loopback reports whether a name is this machine's (RFC 6761, section 6.3).
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
