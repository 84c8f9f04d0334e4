package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/service"
)

// openProvider opens the provider, and says what it lacks.
func (g *gatewayExam) openProvider(ctx context.Context, r rows) {
	pool, ok := roots(r, key("provider.ca"), g.Gateway.Provider.CA)
	if !ok {
		return
	}
	p, err := g.examiner().Provider(ctx)
	if err != nil {
		g.noProvider(r, err)
		return
	}
	g.provider.Store(p)
	m, err := p.Metadata()
	if err != nil {
		r.fail(key("provider.issuer"), "", "%s", why(err))
		return
	}
	got, err := ask(ctx, web(pool), http.MethodGet, m.JWKS, nil)
	if err != nil {
		r.fail(place{}, "look at the provider's jwks_uri", "its keys cannot be had at %s: %s", m.JWKS, why(err))
		return
	}
	g.clocks.date(theProvider, got)
	usable := signing(got.body)
	if got.status != http.StatusOK || usable == 0 {
		r.fail(place{}, "let the provider sign with a key that it publishes", "%s answers %d, with no key that verifies a signature", m.JWKS, got.status)
		return
	}
	r.ok("%s is who it says it is, and signs with %s", m.Issuer, count(usable, "key", "keys"))
	g.lacks(r, m)
}

// signing counts the public keys of a set with which signatures can be verified.
func signing(jwks []byte) (n int) {
	var set jose.JSONWebKeySet
	if json.Unmarshal(jwks, &set) != nil {
		return 0
	}
	for _, k := range set.Keys {
		if k.Valid() && k.IsPublic() && k.Use != "enc" {
			n++
		}
	}
	return n
}

func (g *gatewayExam) noProvider(r rows, err error) {
	at, cure := key("provider.issuer"), "let the provider be reached from here: name, firewall, HTTPS_PROXY"
	switch {
	case says(err, "says that it is"):
		cure = "write the issuer byte for byte as the provider does, or give the provider the name by which it is reached"
	case says(err, "without what it takes", "no client authentication", "is none; give it"):
		at, cure = key("provider.auth"), "give what it takes: a socket for svid, secret for a secret"
	case says(err, "certificate", "x509"):
		at, cure = key("provider.ca"), "name the authority that vouches for the provider"
	case says(err, "answered 404"):
		cure = "correct the path: there is no such realm"
	case says(err, "PKCE", "code flow", "pushed", "signs with nothing"):
		cure = "change the client or the provider: the gateway does not do without"
	}
	r.fail(at, cure, "%s", why(err))
}

// lacks names what the provider does not announce, each with what follows from it.
func (g *gatewayExam) lacks(r rows, m provider.Metadata) {
	for _, l := range []struct {
		lacking    bool
		what, then string
	}{
		{m.EndSession == "", "end_session_endpoint", "who logs out here stays logged in there"},
		{!m.BackChannel, "backchannel_logout_supported", "a logout there is noticed here with the next refresh only"},
		{m.BackChannel && !m.BackChannelSID, "backchannel_logout_session_supported", "one logout there ends all of the user's sessions here"},
		{m.Revocation == "", "revocation_endpoint", "refresh tokens are good beyond a logout"},
		{!m.IssInAnswer, "authorization_response_iss_parameter_supported", "an answer that another provider gave is not told apart by its iss (RFC 9207)"},
		{len(m.Challenges) == 0, "code_challenge_methods_supported", "whether codes are bound to their login (PKCE) is the provider's secret"},
		{g.Gateway.Provider.FrontChannel && !m.FrontChannel, "frontchannel_logout_supported", "the frames that provider.front_channel waits for never come"},
		{len(m.Grants) > 0 && !slices.Contains(m.Grants, "refresh_token"), "the grant refresh_token", "a session ends with its first access token"},
	} {
		if l.lacking {
			r.warn(place{}, "turn it on at the provider, if it has it", "the provider does not announce %s: %s", l.what, l.then)
		}
	}
	if needs := g.exchanging(); len(needs) > 0 && len(m.Grants) > 0 && !slices.Contains(m.Grants, grantExchange) {
		r.fail(place{pos: needs[0].Pos}, cureExchange, "the provider does not announce token exchange: services with user: exchange or mint are refused: %s", strings.Join(names(needs), ", "))
	}
}

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchanging are the services whose requests need an exchange at the provider.
func (g *gatewayExam) exchanging() (need []*service.Service) {
	for _, s := range g.services {
		if k := s.Browser.User.Kind; k == service.UserExchange || k == service.UserMint {
			need = append(need, s)
		}
	}
	return need
}

func names(services []*service.Service) (all []string) {
	for _, s := range services {
		all = append(all, s.Name)
	}
	return all
}

// opened returns the provider, and a row that says why there is none.
func (g *gatewayExam) opened(r rows) (*provider.Provider, provider.Metadata, bool) {
	p := g.provider.Load()
	if p == nil {
		r.skip("the provider could not be opened")
		return nil, provider.Metadata{}, false
	}
	m, err := p.Metadata()
	if err != nil {
		r.skip("%s", why(err))
	}
	return p, m, err == nil
}

// atClient is where to look at the provider.
func (g *gatewayExam) atClient(what string) string {
	return fmt.Sprintf("%s of the client %s at the provider", what, g.Gateway.Provider.ClientID)
}
