package doctor

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
)

// brokerExam is a broker's file, and what was opened of it so far.
type brokerExam struct {
	Options
	file     file
	clocks   *clocks
	services []*service.Service
	unread   error // why there are none
	identity atomic.Pointer[svid.Source]
}

func newBrokerExam(o Options, c *clocks) *brokerExam {
	b := &brokerExam{Options: o, file: readFile(o.BrokerFile), clocks: c}
	catalog, err := service.Load(o.Broker.Services)
	if b.unread = err; err == nil {
		b.services = catalog.All()
	}
	return b
}

func (b *brokerExam) round(n int) []check {
	if b == nil {
		return nil
	}
	return [rounds][]check{
		{{"identity", b.file, b.who}, {"upstream", b.file, b.upstreams}, {"issuers", b.file, b.issuers}, {"audit", b.file, auditDir(b.Broker.Audit.Dir)}},
		{{"vault", b.file, b.vault}},
		nil,
	}[n]
}

func (b *brokerExam) who(ctx context.Context, r rows) {
	id := b.Broker.Identity
	source := openIdentity(ctx, r, b.Now(), svid.Config{Socket: id.Socket, CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles})
	if source == nil {
		return
	}
	b.identity.Store(source)
	for _, d := range id.Allow {
		if _, err := source.GetX509BundleForTrustDomain(d.TrustDomain); err != nil {
			r.of(d.Name()).fail(key("identity.allow"), "federate with it, or take it out", "its workloads are let in, and there are no authorities of it: none can prove who it is")
		}
	}
}

// upstreams dials the services that are called from here. Where bound tokens are used, the callers call by themselves.
func (b *brokerExam) upstreams(ctx context.Context, r rows) {
	var own []*service.Service
	for _, s := range b.services {
		if s.Token == nil || s.Token.Bind == service.BindNone {
			own = append(own, s)
		}
	}
	if pool, ok := roots(r, key("upstream_ca"), b.Broker.UpstreamCA); ok {
		// Whether proxies may ask stands in the gateways' file, which is not here for a broker alone.
		asked := b.Gateway == nil || len(b.Gateway.TrustedProxies) > 0
		dialer{pool, b.Now(), nil, asked}.all(ctx, r, own)
	}
}

// issuers asks each OpenID issuer whose users' tokens count who it is, and for its keys.
func (b *brokerExam) issuers(ctx context.Context, r rows) {
	if len(b.Broker.Issuers) == 0 {
		r.skip("no users' tokens are taken")
		return
	}
	for _, i := range b.Broker.Issuers {
		if pool, ok := roots(r, key("issuers"), i.CA); ok {
			askIssuer(ctx, r.of(i.URL.String()), web(pool), i.URL.String())
		}
	}
}

func askIssuer(ctx context.Context, r rows, c *http.Client, issuer string) {
	var said struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
	}
	got, err := ask(ctx, c, http.MethodGet, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
	switch {
	case err != nil && untrusted(err):
		r.fail(key("issuers"), "name the authority that vouches for it in ca", "%s", why(err))
		return
	case err != nil:
		r.fail(key("issuers"), "let it be reached from here", "%s", why(err))
		return
	case got.status != http.StatusOK || json.Unmarshal(got.body, &said) != nil:
		r.fail(key("issuers"), "correct the URL", "its metadata answer %d", got.status)
		return
	case said.Issuer != issuer:
		r.fail(key("issuers"), "write it byte for byte as it calls itself", "it says that it is %q", said.Issuer)
		return
	}
	if got, err = ask(ctx, c, http.MethodGet, said.JWKS, nil); err != nil || signing(got.body) == 0 {
		r.fail(place{}, "let it publish the keys that it signs with", "%s has no key that verifies a signature", said.JWKS)
		return
	}
	r.ok("is who it says it is, and signs with %s", count(signing(got.body), "key", "keys"))
}

func (b *brokerExam) close() {
	if s := b.identity.Load(); s != nil {
		_ = s.Close()
	}
}
