package doctor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// wanted is an audience, and the services that need tokens for it.
type wanted struct {
	audience string
	scope    []string
	at       place
	services []string
}

// audiences are those that the provider has to know. Services whose token a broker mints share the brokers' own.
func (g *gatewayExam) audiences() (all []*wanted) {
	for _, s := range g.exchanging() {
		w := wanted{audience: s.Browser.User.Audience, scope: s.Browser.User.Scope, at: place{pos: s.Pos}}
		if s.Browser.User.Kind == service.UserMint {
			w.audience, w.scope, w.at = g.Gateway.Brokers.Audience, nil, key("brokers.audience")
		}
		all = join(all, w, s.Name)
	}
	return all
}

func join(all []*wanted, w wanted, name string) []*wanted {
	for _, known := range all {
		if known.audience == w.audience && strings.Join(known.scope, " ") == strings.Join(w.scope, " ") {
			known.services = append(known.services, name)
			return all
		}
	}
	w.services = []string{name}
	return append(all, &w)
}

// subject is the token that is exchanged, and whose it is.
type subject struct {
	token secret.Value
	whose whose
}

// whose says what a refusal means: the fewer rights, the less.
type whose int

const (
	ofNobody whose = iota // junk: it shows whether exchange is on at all
	ofService
	ofUser
)

// exchanges tries to get a token for each audience: with a user's token for good, with the client's own as far as that
// goes, and with none at all whether exchange is on.
func (g *gatewayExam) exchanges(ctx context.Context, r rows) {
	p, _, ok := g.opened(r)
	if !ok {
		return
	}
	all := g.audiences()
	switch {
	case len(all) == 0:
		r.skip("no service has user: exchange or mint")
		return
	case silent(p):
		r.skip("exchanges are asked for with a proof that only the gateways have")
		return
	}
	if err := p.TryClient(ctx, g.callback()); unknown(err) {
		r.skip("the provider does not know us, see provider-client: so it looks at nothing else")
		return
	}
	trial, err := p.Trial()
	if err != nil {
		r.skip("%s", why(err))
		return
	}
	s := g.subject(ctx, trial)
	for _, w := range all {
		asked := time.Now()
		got, err := trial.Exchange(ctx, s.token, w.audience, w.scope...)
		if err == nil {
			g.issued(got.Token, asked)
		}
		g.exchanged(r.of(w.audience), w, s, err)
		if s.whose == ofNobody {
			return // the answer is the same for each
		}
	}
}

func (g *gatewayExam) subject(ctx context.Context, trial provider.Holder) subject {
	if !g.UserToken.IsZero() {
		return subject{g.UserToken, ofUser}
	}
	asked := time.Now()
	token, err := trial.ServiceToken(ctx)
	if err != nil {
		return subject{secret.FromString("a-token-of-nobody"), ofNobody}
	}
	g.issued(token, asked)
	return subject{token, ofService}
}

// issued notes the provider's clock by when it says that it issued a token. Nothing is decided by it, so it is not
// verified.
func (g *gatewayExam) issued(token secret.Value, asked time.Time) {
	var claims jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(string(token.Reveal()), &claims)
	if err == nil && claims.IssuedAt != nil {
		g.clocks.add(theProvider, claims.IssuedAt.Add(time.Second/2), asked, time.Now())
	}
}

// cureExchange is for a provider that has no such thing.
const cureExchange = "take a provider that exchanges tokens, or give these services another user: access_token, basic or none"

// exchanged reads the answer. Keycloak looks at its switch first, at the subject token then, and at the audience last.
func (g *gatewayExam) exchanged(r rows, w *wanted, s subject, err error) {
	refused, wasRefused := errors.AsType[*provider.RefusedError](err)
	needed := "services that need it: " + strings.Join(w.services, ", ")
	switch {
	case err == nil:
		r.ok("the provider exchanges tokens for it; %s", needed)
	case !wasRefused:
		r.fail(place{}, "see what the provider logs", "%s", why(err))
	case refused.Code == "unsupported_grant_type":
		r.fail(w.at, cureExchange, "the provider exchanges no tokens, so services with user: exchange or mint are refused: %s", refused)
	case strings.Contains(refused.Description, "not enabled"):
		r.fail(place{}, g.atClient("turn on Standard token exchange, among the capabilities"), "exchange is off: %s", refused)
	case refused.Code == "invalid_client", refused.Code == "unauthorized_client":
		r.fail(w.at, "register it as a client of the provider, or correct the name", "the provider does not know it: %s; %s", refused, needed)
	case s.whose == ofNobody && (refused.Code == "invalid_request" || refused.Code == "invalid_grant"):
		r.skip("exchange is on; which audiences may be had is seen with a user's token only: --user-token FILE")
	case s.whose == ofService:
		r.skip("it is known, and not to be had with the client's own token (%s); a user's says more: --user-token FILE", refused)
	case strings.Contains(refused.Description, "Invalid token"):
		r.fail(place{}, "give a fresh access token", "the provider does not take the token of --user-token: %s", refused)
	case refused.Code == "access_denied":
		r.fail(place{}, g.atClient("let the user's tokens name it: an audience mapper"), "the token of --user-token is not for us: %s", refused)
	default:
		r.fail(w.at, g.atClient("add an audience mapper for it, or a client scope with one, to the scopes"), "refused: %s; %s", refused, needed)
	}
}
