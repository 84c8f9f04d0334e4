package openid

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

// token is the token endpoint. Other grant types, the password's among them (RFC 9700, section 2.4), are not
// here.
func (p *Provider) token(r *http.Request) (any, error) {
	c, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	jkt, err := p.possession(r, c)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked(p.cfg.Now())
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		return p.redeemLocked(c, jkt, r.PostForm)
	case "refresh_token":
		return p.refreshLocked(c, jkt, r.PostForm)
	case grantExchange:
		return p.exchangeLocked(c, jkt, r.PostForm)
	}
	return nil, refuse("unsupported_grant_type", "Unsupported grant_type")
}

func invalidGrant(why string) error { return refuse("invalid_grant", why) }

func (p *Provider) redeemLocked(c *Client, jkt string, form url.Values) (any, error) {
	now, found := p.cfg.Now(), p.codes[form.Get("code")]
	switch {
	case found == nil || found.request.client.ID != c.ID:
		return nil, invalidGrant("Code not valid")
	case found.grant != nil: // RFC 6749, section 4.1.2: what it gave the first time ends
		found.grant.dead = true
		return nil, invalidGrant("Code not valid")
	case now.After(found.end):
		return nil, invalidGrant("Code is expired")
	case found.request.redirect != form.Get("redirect_uri"):
		return nil, invalidGrant("Incorrect redirect_uri")
	case oauth2.S256ChallengeFromVerifier(form.Get("code_verifier")) != found.request.challenge:
		return nil, invalidGrant("PKCE verification failed: Code mismatch")
	case !p.aliveLocked(found.session, now):
		return nil, invalidGrant("Session not active")
	}
	g := &grant{session: found.session, client: c, scope: found.request.scope, jkt: jkt}
	found.grant = g
	g.session.grants = append(g.session.grants, g)
	return p.tokensLocked(g, found.request.nonce, "")
}

// refreshToken is one of a grant's family.
type refreshToken struct {
	grant *grant
	used  int
}

func (p *Provider) refreshLocked(c *Client, jkt string, form url.Values) (any, error) {
	now, value := p.cfg.Now(), form.Get("refresh_token")
	t := p.refresh[value]
	switch {
	case t == nil || t.grant.client.ID != c.ID:
		return nil, invalidGrant("Invalid refresh token")
	case t.grant.session.ended:
		return nil, invalidGrant("Session not active")
	case !p.aliveLocked(t.grant.session, now):
		return nil, invalidGrant("Token is not active")
	case p.disabled[t.grant.session.user.Name]:
		return nil, invalidGrant("User disabled")
	case t.grant.jkt != jkt: // stricter than the standard, which binds those of public clients only (section 5)
		return nil, invalidGrant("DPoP proof has not the key of the session")
	case t.grant.dead:
		return nil, invalidGrant("Session doesn't have required client")
	}
	t.grant.session.used = now
	if p.cfg.ReuseRefreshTokens {
		return p.tokensLocked(t.grant, "", value)
	}
	if t.used > p.cfg.RefreshReuse {
		t.grant.dead = true
		return nil, invalidGrant("Maximum allowed refresh token reuse exceeded")
	}
	t.used++
	return p.tokensLocked(t.grant, "", "")
}

// tokensLocked answers for a grant. Without a refresh token to keep it makes a new one.
func (p *Provider) tokensLocked(g *grant, nonce, refresh string) (any, error) {
	now, s := p.cfg.Now(), g.session
	access, err := p.accessLocked(g, g.client.Audiences, g.scope)
	if err != nil {
		return nil, err
	}
	id, err := p.signLocked(nil, p.idClaims(g, nonce, access, now))
	if err != nil {
		return nil, err
	}
	if refresh == "" {
		refresh = random()
		p.refresh[refresh] = &refreshToken{grant: g}
	}
	return map[string]any{
		"access_token": access, "token_type": tokenType(g.jkt), "expires_in": int(p.cfg.AccessLife.Seconds()),
		"refresh_token": refresh, "refresh_expires_in": int(p.refreshLife(s, now).Seconds()), "id_token": id,
		"scope": strings.Join(g.scope, " "), "session_state": s.sid, "not-before-policy": 0,
	}, nil
}

// issued is an access token that is out.
type issued struct {
	grant *grant
	end   time.Time
}

// accessLocked makes an access token (RFC 9068). Like Keycloak's, its aud has not the client itself, and is a
// string when it is one.
func (p *Provider) accessLocked(g *grant, audience, scope []string) (string, error) {
	now, jti := p.cfg.Now(), random()
	claims := p.userClaims(g.session.user, scope)
	maps.Copy(claims, map[string]any{
		"iss": p.cfg.Issuer, "sub": g.session.user.subject(), "iat": now.Unix(), "exp": now.Add(p.cfg.AccessLife).Unix(), "jti": jti,
		"typ": "Bearer", "azp": g.client.ID, "client_id": g.client.ID, "sid": g.session.sid, "scope": strings.Join(scope, " "),
		"auth_time": g.session.authTime.Unix(), "acr": g.session.acr,
	})
	switch len(audience) {
	case 0:
	case 1:
		claims["aud"] = audience[0]
	default:
		claims["aud"] = audience
	}
	bound(claims, g.jkt)
	p.access[jti] = &issued{grant: g, end: now.Add(p.cfg.AccessLife)}
	return p.signLocked(map[string]any{"typ": "at+jwt"}, claims)
}

// idClaims are those of an ID token (OpenID Connect Core 1.0, section 2). After a refresh there is no nonce.
func (p *Provider) idClaims(g *grant, nonce, access string, now time.Time) map[string]any {
	claims := p.userClaims(g.session.user, g.scope)
	sum := sha256.Sum256([]byte(access))
	maps.Copy(claims, map[string]any{
		"iss": p.cfg.Issuer, "sub": g.session.user.subject(), "aud": g.client.ID, "azp": g.client.ID, "typ": "ID", "jti": random(),
		"iat": now.Unix(), "exp": now.Add(p.cfg.AccessLife).Unix(), "auth_time": g.session.authTime.Unix(), "acr": g.session.acr,
		"sid": g.session.sid, "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	})
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return claims
}

func (p *Provider) userClaims(u *User, scope []string) map[string]any {
	claims := map[string]any{}
	if slices.Contains(scope, "profile") {
		claims["name"], claims["preferred_username"] = u.FullName, u.Name
	}
	if slices.Contains(scope, "email") {
		claims["email"], claims["email_verified"] = u.Email, true
	}
	if slices.Contains(scope, "groups") {
		claims["groups"] = append([]string{}, u.Groups...)
	}
	return claims
}

// userinfo answers who the bearer of an access token is.
func (p *Provider) userinfo(r *http.Request) (any, error) {
	raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, &refusal{http.StatusUnauthorized, "invalid_request", "no access token"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	claims, g, err := p.liveAccessLocked(raw)
	if err != nil {
		return nil, &refusal{http.StatusUnauthorized, "invalid_token", err.Error()}
	}
	answer := p.userClaims(g.session.user, strings.Fields(text(claims, "scope")))
	answer["sub"] = g.session.user.subject()
	return answer, nil
}
