package doctor

import (
	"context"
	"errors"
	"net/http"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// client finds out whether the provider takes our proof of who we are.
func (g *gatewayExam) client(ctx context.Context, r rows) {
	p, _, ok := g.opened(r)
	if !ok {
		return
	}
	method, err := p.Method()
	if err != nil {
		r.skip("%s", why(err))
		return
	}
	if method == provider.ByPrivateKey {
		g.publicKeys(ctx, r)
		return
	}
	err = p.TryClient(ctx, g.callback())
	bySecret := method == provider.BySecretBasic || method == provider.BySecretPosted
	if err == nil && bySecret && p.TryStranger(ctx, g.callback()) == nil {
		r.fail(place{}, g.atClient("turn on Client authentication"), "the provider takes any secret: the client is a public one, as which anybody may pose")
		return
	}
	if err == nil {
		r.ok("the provider knows us by %s%s", method, g.chosen())
		return
	}
	g.unknownClient(r, method, err)
}

// chosen says why that way was taken.
func (g *gatewayExam) chosen() string {
	switch c := g.Gateway.Provider; {
	case c.Auth != "":
		return ", as provider.auth says"
	case !c.Secret.IsZero():
		return ": there is a secret"
	}
	return ", the strongest that it announces"
}

// reasonNoProof: what we prove ourselves with cannot be had.
const reasonNoProof = "CLIENT_PROOF"

func (g *gatewayExam) unknownClient(r rows, method string, err error) {
	refused, wasRefused := errors.AsType[*provider.RefusedError](err)
	there := "let the client " + g.Gateway.Provider.ClientID + " be there and enabled at the provider, or correct provider.client_id"
	at, cure := key("provider.secret"), there+", or put the client secret there that stands at the provider"
	if method == provider.BySVID {
		at, cure = key("provider.auth"), "let the client at the provider take our JWT-SVID (its subject is our SPIFFE ID, its audience the issuer), or set provider.auth"
	}
	switch {
	case fault.From(err).Reason == reasonNoProof:
		r.fail(at, "put it where the reference says", "we have nothing to prove who we are by %s: %s", method, why(err))
	case !wasRefused:
		r.fail(key("provider.issuer"), "let the token endpoint be reached from here", "%s", why(err))
	case fault.From(err).Reason == provider.ReasonClient:
		if says(refused, "client_assertion") {
			at, cure = g.setting(refused.Description)
		}
		r.fail(at, cure, "the provider does not know us by %s: %s", method, refused)
	default:
		at, cure = g.setting(refused.Description)
		r.fail(at, cure, "by %s: %s", method, refused)
	}
}

// publicKeys looks for what the provider verifies private_key_jwt with. The keys themselves are in the gateways' memory
// alone. One of our own would have to be published, and make the provider read all of them at a moment when a gateway may
// need that: Keycloak does it once in ten seconds.
func (g *gatewayExam) publicKeys(ctx context.Context, r rows) {
	address := g.Gateway.URL(g.Gateway.Origins[0], "/jwks")
	got, err := ask(ctx, web(g.known()), http.MethodGet, address, nil)
	switch {
	case err != nil:
		r.warn(key("provider.auth"), "start the gateway, and let the provider reach "+address, "by private_key_jwt, and our public keys are not at %s: %s", address, why(err))
	case got.status != http.StatusOK || signing(got.body) == 0:
		r.fail(key("provider.auth"), "lead "+address+" to the gateway", "by private_key_jwt, and our public keys are not at %s, which answers %d", address, got.status)
	default:
		r.skip("by private_key_jwt: %s at %s, which is what the client's jwks_uri must be; the keys are in the gateways alone, so a trial was not made", count(signing(got.body), "public key is", "public keys are"), address)
	}
}

// silent reports whether nothing can be tried with a proof of ours.
func silent(p *provider.Provider) bool {
	method, err := p.Method()
	return err != nil || method == provider.ByPrivateKey
}

// callback is where the provider leads back to, at the first origin.
func (g *gatewayExam) callback() string { return g.Gateway.URL(g.Gateway.Origins[0], "/callback") }
