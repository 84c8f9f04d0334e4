package doctor

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/svid"
)

// firstSVID is how long is waited for it: less than a check may take.
const firstSVID = 4 * time.Second

// who opens our identity, and a way to the brokers with it.
func (g *gatewayExam) who(ctx context.Context, r rows) {
	id := g.Gateway.Identity
	source := openIdentity(ctx, r, g.Now(), svid.Config{Socket: id.Socket, CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles})
	if source == nil {
		return
	}
	g.identity.Store(source)
	b := g.Gateway.Brokers
	if source.ID() == b.ID.ID {
		r.fail(key("identity"), "give the gateway an entry of its own, and let this command run as the gateway does", "we are taken for a broker, %s", source.ID())
	}
	if _, err := source.GetX509BundleForTrustDomain(b.ID.TrustDomain()); err != nil {
		r.fail(key("brokers.id"), "federate with it, or correct the name", "we have no authorities of the brokers' trust domain, %s", b.ID.TrustDomain())
	}
	c, err := client.New(client.Config{
		Addresses: b.Mesh, EgressAddresses: b.Egress, Source: source, Brokers: tlsconfig.AuthorizeID(b.ID.ID), Timeout: g.Timeout / 2, Patience: -1,
	})
	if err == nil { // the SVID is there
		g.brokers.Store(c)
	}
}

// openIdentity opens an identity and says what it is; nil where there is none.
func openIdentity(ctx context.Context, r rows, now time.Time, cfg svid.Config) *svid.Source {
	cfg.Wait = firstSVID
	source, err := svid.Open(ctx, cfg)
	if err != nil {
		setting, cure := "identity.socket", "name the agent's socket, and register this process; this command must run as the process does that the file is for"
		switch {
		case says(err, " is before "):
			setting, cure = "identity", "set this machine's clock, or the SPIRE server's: what it issues does not count here yet"
		case cfg.Socket != "" && says(err, " ended at "):
			setting, cure = "identity", "look at the agent's log: it hands out what it could not renew; or set this machine's clock"
		case cfg.Socket == "":
			setting, cure = "identity", "give a certificate that is an SVID, its key, and the bundle that vouches for it"
		}
		r.fail(key(setting), cure, "%s", why(err))
		return nil
	}
	life(r, source, now, cfg.Socket != "")
	return source
}

// life says how long our SVID lasts. Whatever renews it does so at half of its life: less than a third that is left means
// that nothing did.
func life(r rows, source *svid.Source, now time.Time, renewed bool) {
	own, err := source.GetX509SVID()
	if err != nil {
		r.fail(key("identity"), "look at the agent's log", "%s", why(err))
		return
	}
	leaf := own.Certificates[0]
	whole, left := leaf.NotAfter.Sub(leaf.NotBefore), leaf.NotAfter.Sub(now)
	if left < whole/3 {
		cure := "replace the certificate"
		if renewed {
			cure = "look at the agent's log: an agent renews at half of the life, and cannot while its server is away"
		}
		r.warn(key("identity"), cure, "we are %s, and our SVID of %s ends in %s: it was not renewed", own.ID, round(whole), round(left))
		return
	}
	authorities := 0
	if bundle, err := source.GetX509BundleForTrustDomain(own.ID.TrustDomain()); err == nil {
		authorities = len(bundle.X509Authorities())
	}
	r.ok("we are %s for %s more, of %s; %s of our trust domain", own.ID, round(left), round(whole), count(authorities, "authority", "authorities"))
}

// sameBroker holds who the broker is against who the gateway wants it to be.
func (g *gatewayExam) sameBroker(b *brokerExam, r rows) {
	source := b.identity.Load()
	switch want := g.Gateway.Brokers.ID.ID; {
	case source == nil:
		r.skip("the broker's identity could not be had")
	case source.ID() != want:
		r.fail(key("brokers.id"), "write "+source.ID().String()+", or give the broker the SVID that is meant", "the broker is %s, and the gateway wants %s", source.ID(), want)
	default:
		r.ok("the broker is who the gateway wants it to be")
	}
	if own := g.identity.Load(); own != nil && source != nil && !b.lets(own.ID().TrustDomain()) {
		r.fail(place{}, "name it in the broker's identity.allow", "the broker does not let workloads of %s in", own.ID().TrustDomain())
	}
}

// lets reports whether the broker's file lets a trust domain in.
func (b *brokerExam) lets(domain spiffeid.TrustDomain) bool {
	if source := b.identity.Load(); source != nil && source.ID().TrustDomain() == domain {
		return true
	}
	for _, d := range b.Broker.Identity.Allow {
		if d.TrustDomain == domain {
			return true
		}
	}
	return false
}
