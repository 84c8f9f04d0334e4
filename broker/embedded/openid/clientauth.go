package openid

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/intercom-broker/intercom/broker/secret"
)

// The types of client assertions (RFC 7523, section 2.2; draft-ietf-oauth-spiffe-client-auth).
const (
	assertionJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// unknownClient is Keycloak's answer to a wrong secret, where RFC 6749, section 5.2 would have invalid_client.
func unknownClient() error {
	return &refusal{http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials"}
}

func badAssertion(why string) error { return refuse("invalid_client", why) }

// authenticate returns the client that sent r. It proves itself in exactly one way (RFC 6749, section 2.3).
func (p *Provider) authenticate(r *http.Request) (*Client, error) {
	form := r.PostForm
	id, password, basic := r.BasicAuth()
	assertion := form.Get("client_assertion_type")
	ways := 0
	for _, used := range []bool{basic, form.Has("client_secret"), assertion != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, refuse("invalid_request", "more than one way of client authentication")
	case basic:
		return p.bySecret(unescape(id), unescape(password))
	case form.Has("client_secret"):
		return p.bySecret(form.Get("client_id"), form.Get("client_secret"))
	case assertion == assertionJWT:
		return p.byAssertion(r.Context(), form)
	case assertion == assertionSPIFFE:
		return p.bySVID(form)
	}
	return nil, unknownClient()
}

// unescape undoes the form encoding of RFC 6749, section 2.3.1.
func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

func (p *Provider) bySecret(id, password string) (*Client, error) {
	c := p.client(id)
	if c == nil || c.Secret.IsZero() || !c.Secret.Equal(secret.FromString(password)) {
		return nil, unknownClient()
	}
	return c, nil
}

// bySVID takes a JWT-SVID whose one audience is the issuer. It has no jti that counts: its issuers cache it.
func (p *Provider) bySVID(form url.Values) (*Client, error) {
	refused := &refusal{http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials"}
	if p.cfg.Bundles == nil {
		return nil, refused
	}
	svid, err := jwtsvid.ParseAndValidate(form.Get("client_assertion"), p.cfg.Bundles, []string{p.cfg.Issuer})
	if err != nil {
		return nil, refused
	}
	if !slices.Equal(svid.Audience, []string{p.cfg.Issuer}) {
		return nil, badAssertion("Invalid token audience")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.clients {
		if c.SPIFFEID == svid.ID && (!form.Has("client_id") || form.Get("client_id") == c.ID) {
			return c, nil
		}
	}
	return nil, refused
}

// checkAssertion holds an assertion to RFC 7523, section 3: one audience that is us, soon over, never seen.
func (p *Provider) checkAssertion(claims *jwt.RegisteredClaims) error {
	now := p.cfg.Now()
	switch {
	case len(claims.Audience) != 1:
		return badAssertion("Multiple audiences not allowed")
	case !slices.Contains([]string{p.cfg.Issuer, p.URL(PathToken), p.URL(PathPAR)}, claims.Audience[0]):
		return badAssertion("Invalid token audience")
	case claims.ExpiresAt == nil || now.After(claims.ExpiresAt.Time):
		return badAssertion("Token is not active")
	case claims.ExpiresAt.Sub(now) > time.Hour:
		return badAssertion("Token expiration is too far in the future")
	case claims.ID == "":
		return badAssertion("Missing jti claim")
	}
	return p.once(claims.Subject+" "+claims.ID, claims.ExpiresAt.Time)
}

// once refuses a name that came before.
func (p *Provider) once(name string, end time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweepLocked(p.cfg.Now())
	if _, seen := p.seen[name]; seen {
		return badAssertion("Token reuse detected")
	}
	p.seen[name] = end
	return nil
}

// unverified returns whom an assertion claims to be, to know whose keys to verify it with.
func unverified(raw string) (string, error) {
	claims := &jwt.RegisteredClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		return "", err
	}
	if claims.Issuer != claims.Subject {
		return "", errors.New("iss is not sub")
	}
	return strings.TrimSpace(claims.Subject), nil
}
