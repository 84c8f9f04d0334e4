package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
)

// atOnce is how many upstreams are dialled at a time.
const atOnce = 16

// upstreams dials the services to which the gateway itself sends browsers' requests.
func (g *gatewayExam) upstreams(ctx context.Context, r rows) {
	source := g.identity.Load()
	var own []*service.Service
	var bound []string
	for _, s := range g.services {
		switch {
		case s.Mode == service.ModeInject: // those go through a broker
		case isBound(s) && source == nil:
			bound = append(bound, s.Name)
		default:
			own = append(own, s)
		}
	}
	pool, ok := roots(r, key("upstream_ca"), g.Gateway.UpstreamCA)
	if !ok {
		return
	}
	if len(bound) > 0 {
		r.skip("we have no SVID to show to %s", strings.Join(bound, ", "))
	}
	if len(own) > 0 || len(bound) == 0 {
		dialer{pool, g.Now(), source, len(g.Gateway.TrustedProxies) > 0}.all(ctx, r, own)
	}
}

// isBound reports whether a service gets tokens that are bound to the gateway's certificate, and so is shown it.
func isBound(s *service.Service) bool {
	return s.Browser != nil && s.Browser.User.Kind == service.UserMint && s.Token != nil && s.Token.Bind == service.BindSVID
}

// dialer says who may vouch for upstreams, what time it is, and who we are; nil where no upstream is to know.
type dialer struct {
	roots *x509.CertPool
	now   time.Time
	own   *svid.Source
	// asked: proxies may ask about services, to which they send the requests themselves.
	asked bool
}

// wrong is about an upstream that does not answer as it should. A file cannot say that a proxy only asks about it at
// /bff/authz, and that it is never called; where that can be, it is no failure.
func (d dialer) wrong(r rows, s *service.Service, cure, seen string, args ...any) {
	at := place{pos: s.Pos}
	if !d.asked || s.Browser == nil || s.Browser.User.Kind != service.UserNone || s.Mode == service.ModeInject {
		r.fail(at, cure, seen, args...)
		return
	}
	r.warn(at, cure+"; where a proxy only asks about it at /bff/authz, nobody calls it: leave it", seen, args...)
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
		d.wrong(r, s, "start the service, or correct upstream; what the dial guard refuses, dial opens", "%s: %s", address, why(err))
		return
	}
	defer conn.Close()
	if target.Scheme == "https" {
		d.shake(ctx, r, s, target, conn)
	}
}

// patientlyShown is how long a service may take to say that it does not want our certificate: in TLS 1.3 it looks at it when
// we are done already (RFC 8446, section 2).
const patientlyShown = 500 * time.Millisecond

// shake shakes hands as a call does: with our certificate where the service's tokens are bound to it.
func (d dialer) shake(ctx context.Context, r rows, s *service.Service, target *url.URL, conn net.Conn) {
	at, address := place{pos: s.Pos}, net.JoinHostPort(target.Hostname(), port(target))
	config := &tls.Config{RootCAs: d.roots, ServerName: target.Hostname(), MinVersion: tls.VersionTLS12}
	if isBound(s) {
		config.GetClientCertificate = tlsconfig.GetClientCertificate(d.own)
	}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil && isBound(s) {
		err = heard(secure, patientlyShown)
	}
	switch {
	case err != nil && isBound(s) && says(err, "remote error"):
		r.fail(at, "let the service trust the authorities of our trust domain, "+d.own.ID().TrustDomain().Name(), "%s does not take our SVID: %s", address, why(err))
	case err != nil:
		d.wrong(r, s, "put its authority into upstream_ca, or give the service a certificate that is good for "+target.Hostname(), "%s: %s", address, why(err))
	default:
		if leaf := secure.ConnectionState().PeerCertificates[0]; ending(leaf, d.now) {
			r.warn(at, "renew the service's certificate", "the certificate of %s ends in %s", address, round(leaf.NotAfter.Sub(d.now)))
		}
	}
}

// heard waits for a peer's first word, such as an alert. One that says nothing has nothing against us.
func heard(conn net.Conn, wait time.Duration) error {
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
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
