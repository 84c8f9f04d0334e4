package doctor

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/secret"
)

// refreshes finds out whether sessions may be refreshed, by a refresh token that nobody was given: a provider looks first
// whether the client may do that at all. Whether a login brings such a token only a login shows.
func (g *gatewayExam) refreshes(ctx context.Context, r rows) {
	p, _, ok := g.opened(r)
	if !ok {
		return
	}
	if slices.Contains(g.Gateway.Provider.Scopes, "offline_access") {
		// OpenID Connect Core 1.0, section 11: without prompt=consent it is to be ignored.
		r.warn(key("provider.scopes"), "take offline_access out, and let the provider give refresh tokens without it", "offline_access is asked for: where it is granted sessions outlive the user's logout at the provider, and most providers ignore it without a question to the user")
	}
	if silent(p) {
		r.skip("refreshes are asked for with a proof that only the gateways have")
		return
	}
	trial, err := p.Trial()
	if err != nil {
		r.skip("%s", why(err))
		return
	}
	_, _, err = trial.Refresh(ctx, secret.FromString("a-refresh-token-of-nobody"), provider.Claims{})
	refused, wasRefused := errors.AsType[*provider.RefusedError](err)
	switch {
	case fault.KindOf(err) == fault.InvalidGrant:
		r.ok("the client may refresh; not seen: whether a login brings a refresh token, without which a session ends with its first access token")
	case !wasRefused, refused.Code == "invalid_client", refused.Status == http.StatusUnauthorized: // Keycloak has other words for a wrong secret
		r.skip("it could not be asked: %s", why(err))
	case unknown(err):
		r.skip("the provider refuses whatever is asked, see provider-client")
	default:
		r.warn(place{}, g.atClient("allow the grant refresh_token"), "the client may not refresh, so a session ends with its first access token: %s", refused)
	}
}
