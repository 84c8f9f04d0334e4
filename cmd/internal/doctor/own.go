package doctor

import (
	"context"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/service"
)

// ownTokens looks whether the token of a login is for the services that take it as it is. The gateway refuses a service that
// the token does not name, and an opaque token names nobody (RFC 9068, section 2.2; RFC 9700, section 2.3).
func (g *gatewayExam) ownTokens(_ context.Context, r rows) {
	for _, s := range g.services {
		if s.Browser.User.Kind == service.UserOwn {
			g.ownToken(r.of(s.Name), s)
		}
	}
}

func (g *gatewayExam) ownToken(r rows, s *service.Service) {
	audience, at := s.Browser.User.Audience, place{pos: s.Pos}
	const cure = "let the provider give the client JWTs that name it, or give the service another user:"
	if g.UserToken.IsZero() {
		r.skip("whether a login's token is a JWT for %q is seen with a user's token only: --user-token FILE", audience)
		return
	}
	var claims jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(string(g.UserToken.Reveal()), &claims) // for whom it is verifies it
	switch {
	case err != nil:
		r.fail(at, cure, "the token of --user-token is opaque, so this service with user: access_token is refused")
	case !slices.Contains(claims.Audience, audience):
		r.fail(at, cure, "the token of --user-token is for %q and not for %q, so this service with user: access_token is refused", []string(claims.Audience), audience)
	default:
		r.ok("the token of a login is for %q", audience)
	}
}
