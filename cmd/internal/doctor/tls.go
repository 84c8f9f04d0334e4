package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
)

// soon is when a certificate should have been replaced.
const soon = 14 * 24 * time.Hour

// ending reports whether a certificate ends soon: in two weeks, or in the last third of a life that is shorter than that
// of those which people replace.
func ending(c *x509.Certificate, now time.Time) bool {
	return c.NotAfter.Sub(now) < min(soon, c.NotAfter.Sub(c.NotBefore)/3)
}

// certificate looks at what browsers are shown.
func (g *gatewayExam) certificate(_ context.Context, r rows) {
	l := g.Gateway.Listen
	if l.Cert == "" {
		r.skip("TLS ends before the gateway (--unsafe-plaintext); what ends it is seen at the origins")
		return
	}
	pair, err := tls.LoadX509KeyPair(l.Cert, l.Key)
	if err != nil {
		r.fail(key("listen.cert"), "give the certificate of the origins with its chain, and the key that belongs to it", "%s", why(err))
		return
	}
	leaf := pair.Leaf
	bad := g.covers(r, leaf)
	switch left := leaf.NotAfter.Sub(g.Now()); {
	case left <= 0:
		r.fail(key("listen.cert"), "replace it", "it ended on %s", leaf.NotAfter.Format(time.DateOnly))
	case g.Now().Before(leaf.NotBefore):
		r.fail(key("listen.cert"), "set this machine's clock, or give one that counts already", "it counts from %s on", leaf.NotBefore.Format(time.RFC3339))
	case ending(leaf, g.Now()):
		r.warn(key("listen.cert"), "replace it: the gateway reads it again by itself", "it ends in %s", round(left))
	case !bad && g.vouched(r, pair):
		r.ok("it covers %s, and ends in %s", count(len(g.Gateway.Origins), "origin", "origins"), round(left))
	}
}

// covers says which origins the certificate does not name, and whether there are any.
func (g *gatewayExam) covers(r rows, leaf *x509.Certificate) (bad bool) {
	for _, o := range g.Gateway.Origins {
		u, err := url.Parse(o.URL)
		if err != nil || u.Scheme != "https" {
			continue
		}
		if err := leaf.VerifyHostname(u.Hostname()); err != nil {
			bad = true
			r.of(o.URL).fail(key("listen.cert"), "get one that names "+u.Hostname()+" too", "%s", why(err))
		}
	}
	return bad
}

// vouched says whether the chain leads to somebody whom this machine knows.
func (g *gatewayExam) vouched(r rows, pair tls.Certificate) bool {
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: g.known(), Intermediates: between, CurrentTime: g.Now()})
	if err != nil {
		r.warn(key("listen.cert"), "put the intermediate certificates after it, in the same file; with an authority of your own, see that browsers know it",
			"nobody whom this machine knows vouches for it: %s", why(err))
	}
	return err == nil
}

// known are all authorities that the deployment speaks of, and the system's.
func (g *gatewayExam) known() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	for _, name := range []string{g.Gateway.Provider.CA, g.Gateway.UpstreamCA} {
		if text, err := os.ReadFile(name); err == nil { // why not, the provider's check says
			pool.AppendCertsFromPEM(text)
		}
	}
	return pool
}

// origins asks for each origin as a browser here would: that it leads to a gateway.
func (g *gatewayExam) origins(ctx context.Context, r rows) {
	c := web(g.known())
	for _, o := range g.Gateway.Origins {
		r, address := r.of(o.URL), g.Gateway.URL(o, "/session")
		got, err := ask(ctx, c, "GET", address, nil)
		switch {
		case err != nil:
			g.unreached(r, err)
		case got.status != 200 || got.header.Get("Content-Type") != "application/json":
			r.fail(key("origins"), "lead the origin to the gateway: "+address+" answers in JSON there", "%s answers %d %s: it is not the gateway", address, got.status, got.header.Get("Content-Type"))
		default:
			r.ok("leads to a gateway")
		}
	}
}

// unreached says why nobody was found at an origin.
func (g *gatewayExam) unreached(r rows, err error) {
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		r.warn(key("listen.cert"), "with an authority of your own, see that browsers know it", "nobody whom this machine knows vouches for what answers there: %s", why(err))
	case untrusted(err):
		r.fail(key("listen.cert"), "replace the certificate of what answers there", "%s", why(err))
	default:
		r.fail(key("origins"), "start the gateway, or correct the name, or what stands before the gateway", "nobody answers: %s", why(err))
	}
}

// roots reads the authorities of a file of the configuration; nil, and a row, where it cannot be read.
func roots(r rows, at place, file string) (*x509.CertPool, bool) {
	pool, err := gateway.Authorities(file)
	if err != nil {
		r.fail(at, "give a PEM file with the authorities' certificates", "%s", why(err))
	}
	return pool, err == nil
}
