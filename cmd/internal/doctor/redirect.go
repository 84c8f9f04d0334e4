package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/secret"
)

// redirects begins a login at each origin, without a browser: with prompt=none the provider answers at once, and only to
// an address that is registered (OpenID Connect Core 1.0, section 3.1.2.6; RFC 6749, section 4.1.2.1).
func (g *gatewayExam) redirects(ctx context.Context, r rows) {
	p, m, ok := g.opened(r)
	if !ok {
		return
	}
	if (g.Gateway.Provider.PAR || m.RequirePAR) && silent(p) {
		r.skip("requests are pushed with a proof that only the gateways have")
		return
	}
	c := g.toProvider()
	for _, o := range g.Gateway.Origins {
		g.redirect(ctx, r.of(o.URL), p, c, g.Gateway.URL(o, "/callback"))
	}
}

// toProvider is the way to the provider's endpoints for browsers. That provider.ca can be read was found before.
func (g *gatewayExam) toProvider() *http.Client {
	pool, _ := gateway.Authorities(g.Gateway.Provider.CA)
	return web(pool)
}

func (g *gatewayExam) redirect(ctx context.Context, r rows, p *provider.Provider, c *http.Client, callback string) {
	address, _, err := p.AuthorizationURL(ctx, provider.Request{RedirectURI: callback, Prompt: "none"})
	if refused, ok := errors.AsType[*provider.RefusedError](err); ok {
		g.unregistered(ctx, r, callback+" as a redirect URI", "the provider does not take a pushed request: %s", refused)
		return
	}
	var got answer
	if err == nil {
		got, err = ask(ctx, c, http.MethodGet, address, nil)
	}
	if err != nil {
		r.fail(key("provider.issuer"), "let the provider be reached from here", "%s", why(err))
		return
	}
	to := got.header.Get("Location")
	back, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, callback+"?") {
		g.unregistered(ctx, r, callback+" as a redirect URI", "its callback is not registered: the provider answers %d, and does not lead back", got.status)
		return
	}
	switch code, said := back.Query().Get("error"), back.Query().Get("error_description"); code {
	case "login_required", "interaction_required", "consent_required", "account_selection_required", "":
		r.ok("its callback is registered")
	case "invalid_scope":
		r.fail(key("provider.scopes"), "take out what the provider does not know, or "+g.atClient("add it to the scopes"), "its callback is registered, and a login is refused: %s", said)
	default:
		at, cure := g.setting(said)
		r.fail(at, cure, "its callback is registered, and a login is refused: %s %s", code, said)
	}
}

// unregistered is about what the provider does not know of us. Where it does not take us at all, nothing is known of that:
// what it says of a client that is disabled, or of a realm that is, looks the same.
func (g *gatewayExam) unregistered(ctx context.Context, r rows, what, seen string, args ...any) {
	if p := g.provider.Load(); !silent(p) {
		if err := p.TryClient(ctx, g.callback()); err != nil {
			r.skip("see provider-client: before that is well, nothing is known of %s: %s", what, fmt.Sprintf(seen, args...))
			return
		}
	}
	r.fail(place{}, g.atClient("register "+what), seen, args...)
}

// postLogouts asks whether a browser would be led back after its logout. Without a cookie and without a hint nobody is
// logged out by that.
func (g *gatewayExam) postLogouts(ctx context.Context, r rows) {
	p, m, ok := g.opened(r)
	if !ok {
		return
	}
	if m.EndSession == "" {
		r.skip("the provider has no end_session_endpoint")
		return
	}
	c := g.toProvider()
	for _, o := range g.Gateway.Origins {
		g.postLogout(ctx, r.of(o.URL), p, c, g.Gateway.URL(o, "/logout/return"))
	}
}

func (g *gatewayExam) postLogout(ctx context.Context, r rows, p *provider.Provider, c *http.Client, back string) {
	address, err := p.EndSessionURL(secret.Value{}, back, "doctor")
	var got answer
	if err == nil {
		got, err = ask(ctx, c, http.MethodGet, address, nil)
	}
	switch {
	case err != nil:
		r.fail(key("provider.issuer"), "let the provider be reached from here", "%s", why(err))
	case got.status >= http.StatusBadRequest:
		g.unregistered(ctx, r, back+" as a post-logout redirect URI", "where a logout leads back to is not registered: the provider answers %d", got.status)
	default:
		r.ok("where a logout leads back to is registered")
	}
}

// backChannel looks whether a provider that knows our address could tell us of a logout. Whether it knows it cannot be
// seen from here.
func (g *gatewayExam) backChannel(ctx context.Context, r rows) {
	_, m, ok := g.opened(r)
	if !ok {
		return
	}
	if !m.BackChannel {
		r.skip("the provider has no back-channel logout")
		return
	}
	address := g.Gateway.URL(g.Gateway.Origins[0], "/backchannel-logout")
	got, err := ask(ctx, web(g.known()), http.MethodPost, address, url.Values{"logout_token": {""}})
	switch {
	case err != nil:
		g.unreached(r, err)
	case got.status != http.StatusBadRequest || !strings.Contains(string(got.body), `"invalid_request"`):
		r.fail(key("origins"), "lead "+address+" to the gateway", "%s answers %d: it is not the gateway", address, got.status)
	default:
		r.ok("%s refuses an empty token, as it should; not seen: whether it is %s, with the session named (sid), and whether it is reached from there", address, g.atClient("the back-channel logout URL"))
	}
}
