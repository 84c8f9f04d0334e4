package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// The ways in which a client proves itself, by their names in the metadata, the strongest first.
const (
	BySVID         = "spiffe_jwt"
	ByPrivateKey   = "private_key_jwt"
	BySecretBasic  = "client_secret_basic"
	BySecretPosted = "client_secret_post"
)

// The types of client assertions (RFC 7523, section 2.2; draft-ietf-oauth-spiffe-client-auth).
const (
	assertionJWT    = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// Auth is what we can prove ourselves with. One of SVID, Assertions and Secret is required.
type Auth struct {
	// Method is which of them to use; empty means the strongest that the metadata announce. It must be
	// written down for Keycloak with JWT-SVIDs, whose metadata do not say that it takes them.
	Method string
	// SVID fetches a JWT-SVID whose only audience is the given one.
	SVID func(ctx context.Context, audience string) (*jwtsvid.SVID, error)
	// Assertions signs with a key of this replica's own.
	Assertions *Assertions
	// Secret reads the client secret, each time, from where it is kept.
	Secret func(ctx context.Context) (secret.Value, error)
}

func (a Auth) can(method string) bool {
	switch method {
	case BySVID:
		return a.SVID != nil
	case ByPrivateKey:
		return a.Assertions != nil
	case BySecretBasic, BySecretPosted:
		return a.Secret != nil
	}
	return false
}

func (a Auth) check() error {
	switch {
	case a.SVID == nil && a.Assertions == nil && a.Secret == nil:
		return errors.New("provider: a public client is none; give it a JWT-SVID, a key or a secret")
	case a.Method != "" && !a.can(a.Method):
		return errors.New("provider: client authentication by " + a.Method + " without what it takes")
	}
	return nil
}

// choose returns the way to use with a provider that takes these. One that does not say takes
// client_secret_basic (OpenID Connect Discovery 1.0, section 3).
func (a Auth) choose(announced []string) (string, error) {
	if a.Method != "" {
		return a.Method, nil
	}
	if len(announced) == 0 {
		announced = []string{BySecretBasic}
	}
	for _, method := range []string{BySVID, ByPrivateKey, BySecretBasic, BySecretPosted} {
		if a.can(method) && slices.Contains(announced, method) {
			return method, nil
		}
	}
	return "", mismatch("the provider announces no client authentication that we have, but %q", announced)
}

// authenticate puts the proof into a request or its form. The assertions' audience is the issuer and nothing
// else, so that no endpoint of another provider can use them (draft-ietf-oauth-rfc7523bis, section 4).
func (p *Provider) authenticate(req *http.Request, r *ready, form url.Values) error {
	if r.method != BySecretBasic {
		form.Set("client_id", p.cfg.ClientID)
	}
	switch r.method {
	case BySVID:
		svid, err := p.cfg.Auth.SVID(req.Context(), r.Issuer)
		if err != nil {
			return noProof(err)
		}
		form.Set("client_assertion_type", assertionSPIFFE)
		form.Set("client_assertion", svid.Marshal())
	case ByPrivateKey:
		assertion, err := p.cfg.Auth.Assertions.sign(p.cfg.ClientID, r.Issuer, r.AuthAlgorithms)
		if err != nil {
			return noProof(err)
		}
		form.Set("client_assertion_type", assertionJWT)
		form.Set("client_assertion", assertion)
	default:
		return p.authenticateBySecret(req, r.method, form)
	}
	return nil
}

func (p *Provider) authenticateBySecret(req *http.Request, method string, form url.Values) error {
	value, err := p.cfg.Auth.Secret(req.Context())
	switch {
	case err != nil:
		return noProof(err)
	case value.IsZero():
		return noProof(errors.New("the client secret is empty"))
	case method == BySecretPosted:
		form.Set("client_secret", string(value.Reveal()))
	default: // RFC 6749, section 2.3.1: both are form-encoded first
		req.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(string(value.Reveal())))
	}
	return nil
}

func noProof(cause error) *fault.Error {
	return fault.New(fault.Unavailable, "CLIENT_PROOF", "this gateway cannot prove itself to the login provider now").Because(cause)
}
