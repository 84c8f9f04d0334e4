package gateway

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// services is the way to the services, and what pages ask of us about their session.
func (g *Gateway) services() *bff.Handler {
	c, p := g.cfg, g.parts
	h := &bff.Handler{
		Origins: c.origins(), Table: p.router.Table, Sessions: p.sessions, Provider: p.provider, Pages: p.pages,
		Proxy: upstream.NewProxy(p.upstreams), Point: p.point, Self: p.self, Minter: p.minter, BrokerAudience: c.Brokers.Audience,
		Cookie: login.Cookie, Forget: login.Forget, Prefix: c.prefix(), Claims: c.Provider.Claims, Groups: c.Provider.Groups, Draining: g.draining, Log: p.log(), Trusted: byProxy,
		Password: func(ctx context.Context, credential string) (secret.Value, error) {
			return p.secrets.leases.field(ctx, credential, "password")
		},
		Refused: p.secrets.leases.refused,
	}
	if len(c.Brokers.Egress) > 0 {
		h.Inject = p.client.Egress()
	}
	p.sessions.Gone(h.Gone)
	return h
}

// self is who policy knows us as, for as long as our SVID lasts; nobody without one.
func (p *parts) self() identity.Workload {
	svid, err := p.identity.GetX509SVID()
	if err != nil {
		return identity.Workload{}
	}
	return identity.Workload{ID: svid.ID, Proof: identity.ByX509SVID, NotAfter: svid.Certificates[0].NotAfter}
}

// typeAccessToken is RFC 8693's name for what a provider issues for us (section 3).
const typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"

// minter is the way to tokens with one SVID of ours.
type minter struct {
	conn *client.Conn
	bff.Minter
}

// minter returns the one of the SVID that is ours now.
func (p *parts) minter() *bff.Minter {
	conn := p.client.Conn()
	if m := p.minting.Load(); m != nil && m.conn == conn {
		return &m.Minter
	}
	next := &minter{conn: conn}
	next.Certificate = certificateOf(conn.SVID())
	next.Mint = next.mint
	if former := p.minting.Load(); !p.minting.CompareAndSwap(former, next) {
		return p.minter() // another request was faster
	}
	return &next.Minter
}

func certificateOf(svid *x509svid.SVID) *tls.Certificate {
	c := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
	for _, cert := range svid.Certificates {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}

// mint asks a broker for a token of that audience, of which the user is the subject and we are the actor.
func (m *minter) mint(ctx context.Context, audience string, subject secret.Value) (secret.Value, time.Time, error) {
	got, err := m.conn.Exchange(ctx, &intercomv1.ExchangeRequest{
		SubjectToken: string(subject.Reveal()), SubjectTokenType: typeAccessToken, Audience: []string{audience},
	})
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	return secret.FromString(got.GetAccessToken()), got.GetExpiresAt().AsTime(), nil
}
