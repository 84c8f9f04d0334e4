package openid

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

const typeAccess = "urn:ietf:params:oauth:token-type:access_token"

// exchangeLocked trades an access token for one that is for other audiences (RFC 8693). There is no
// delegation: actor_token and resource are passed over, as Keycloak does, and no `act` comes back.
func (p *Provider) exchangeLocked(c *Client, jkt string, form url.Values) (any, error) {
	// 1. May this client, in this form?
	switch {
	case c.NoExchange:
		return nil, refuse("invalid_request", "Standard token exchange is not enabled for the requested client")
	case form.Get("subject_token_type") != typeAccess:
		return nil, refuse("invalid_request", "Parameter 'subject_token' supports access tokens only")
	case form.Has("requested_token_type") && form.Get("requested_token_type") != typeAccess:
		return nil, refuse("invalid_request", "requested_token_type unsupported")
	case form.Has("requested_subject"):
		return nil, refuse("invalid_request", "Parameter 'requested_subject' is not supported for standard token exchange")
	}
	// 2. Is the subject token good, and the client's to trade?
	subject, g, err := p.liveAccessLocked(form.Get("subject_token"))
	if err != nil {
		return nil, refuse("invalid_request", "Invalid token")
	}
	if held, _ := subject.GetAudience(); text(subject, "azp") != c.ID && !slices.Contains(held, c.ID) {
		return nil, &refusal{http.StatusForbidden, "access_denied", "Client is not within the token audience"}
	}
	if g.jkt != jkt {
		return nil, refuse("invalid_request", "DPoP confirmation doesn't match DPoP proof")
	}
	// 3. Are the audiences and the scope to be had?
	audience, scope := form["audience"], strings.Fields(form.Get("scope"))
	if err := p.checkTargetLocked(c, audience, scope); err != nil {
		return nil, err
	}
	if len(audience) == 0 {
		audience = c.Audiences
	}
	if len(scope) == 0 {
		scope = strings.Fields(text(subject, "scope"))
	}
	access, err := p.accessLocked(&grant{session: g.session, client: c, jkt: jkt}, audience, scope)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"access_token": access, "issued_token_type": typeAccess, "token_type": tokenType(jkt), "expires_in": int(p.cfg.AccessLife.Seconds()),
		"refresh_expires_in": 0, "scope": strings.Join(scope, " "), "session_state": g.session.sid, "not-before-policy": 0,
	}, nil
}

func (p *Provider) checkTargetLocked(c *Client, audience, scope []string) error {
	for _, a := range audience {
		if p.clients[a] == nil && !slices.Contains(p.cfg.Resources, a) && !slices.Contains(c.Audiences, a) {
			return refuse("invalid_client", "Audience not found")
		}
	}
	for _, a := range audience {
		if !slices.Contains(c.Audiences, a) {
			return refuse("invalid_request", "Requested audience not available: "+a)
		}
	}
	if !c.knows(scope) {
		return refuse("invalid_scope", "Invalid scopes: "+strings.Join(scope, " "))
	}
	return nil
}

// liveAccessLocked returns what an access token of ours says, while it and what it hangs on are alive.
func (p *Provider) liveAccessLocked(raw string) (jwt.MapClaims, *grant, error) {
	now := p.cfg.Now()
	claims, err := p.verifyLocked(raw)
	if err != nil {
		return nil, nil, errors.New("token verification failed")
	}
	out := p.access[text(claims, "jti")]
	switch {
	case out == nil || !now.Before(out.end):
		return nil, nil, errors.New("token is not active")
	case out.grant.dead, !p.aliveLocked(out.grant.session, now), p.disabled[out.grant.session.user.Name]:
		return nil, nil, errors.New("user_session_not_found")
	}
	return claims, out.grant, nil
}

func text(claims jwt.MapClaims, name string) string {
	s, _ := claims[name].(string)
	return s
}

// introspect answers about a token (RFC 7662), to who is in its aud and to nobody else.
func (p *Provider) introspect(r *http.Request) (any, error) {
	c, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	claims, _, err := p.liveAccessLocked(r.PostForm.Get("token"))
	if held, _ := claims.GetAudience(); err != nil || !slices.Contains(held, c.ID) {
		return map[string]any{"active": false}, nil
	}
	claims["active"], claims["token_type"] = true, "Bearer"
	return claims, nil
}

// revoke ends the grant of a refresh or access token (RFC 7009). It answers 200 whatever it is given, and
// tells nobody: the session goes on for others.
func (p *Provider) revoke(r *http.Request) (any, error) {
	c, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	raw := r.PostForm.Get("token")
	if t := p.refresh[raw]; t != nil && t.grant.client.ID == c.ID {
		t.grant.dead = true
	} else if _, g, err := p.liveAccessLocked(raw); err == nil && g.client.ID == c.ID {
		g.dead = true
	}
	return none{}, nil
}
