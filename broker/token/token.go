// Package token is what we say: access tokens in JWT form (RFC 9068), minted and verified.
package token

import (
	"context"
	"crypto"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
)

// Type is the JOSE header typ of our tokens (RFC 9068, section 2.1).
const Type = "at+jwt"

// MaxLife is the longest life that Mint gives a token.
const MaxLife = 5 * time.Minute

// MaxBytes is the longest token that is read or written.
const MaxBytes = 16 << 10

// MaxActors is how many actors a token names at most.
const MaxActors = 8

// Actor is who acts for the token's subject, and through whom it came to act (RFC 8693, section 4.1).
type Actor struct {
	Subject string
	Issuer  string // empty where the token's own issuer knows the actor
	Act     *Actor
}

// Claims are what a token says.
type Claims struct {
	Issuer    string
	Subject   string
	Audience  []string
	ClientID  string
	IssuedAt  time.Time
	Expiry    time.Time
	NotBefore time.Time // zero: none
	ID        string    // empty when minting: a random one
	Scope     []string
	Act       *Actor
	// Confirmation is the x5t#S256 of the certificate that the token is bound to; empty: not bound.
	Confirmation string
}

// Signer signs claims; *keyring.Ring is one.
type Signer interface {
	Sign(ctx context.Context, typ string, claims any) (secret.Value, error)
}

// Mint returns claims as a signed token.
func Mint(ctx context.Context, signer Signer, claims Claims) (secret.Value, error) {
	panic("not yet")
}

// Thumbprint returns the x5t#S256 of a certificate (RFC 8705, section 3.1).
func Thumbprint(cert *x509.Certificate) string { panic("not yet") }

// KeySource finds the public key for a kid. An unknown kid is fault.NotFound; fault.Unavailable means
// that the keys cannot be had now.
type KeySource interface {
	Key(ctx context.Context, kid string) (crypto.PublicKey, error)
}

// LocalKeys is a KeySource over the Lookup of a keyring.Ring in the same process.
func LocalKeys(lookup func(kid string) (key crypto.PublicKey, alg string, ok bool)) KeySource {
	panic("not yet")
}

// Remote is a KeySource over a JWKS that it fetches.
type Remote struct{}

// RemoteKeys returns a Remote for the JWK set at url. A nil client means one that verifies TLS with the
// system's roots and follows no redirects.
func RemoteKeys(client *http.Client, url string) *Remote { return &Remote{} }

// Key implements [KeySource].
func (r *Remote) Key(ctx context.Context, kid string) (crypto.PublicKey, error) { panic("not yet") }

// Verifier checks tokens for one service.
type Verifier struct {
	// Issuer is the only issuer whose tokens count; required.
	Issuer string
	// Audience is the service's own name; required.
	Audience string
	// Keys finds the issuer's public keys; required.
	Keys KeySource
	// Leeway is how far clocks may be apart; 0 means 30 s.
	Leeway time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verify returns what the token says if it is one of ours, meant for us and alive. peer is the certificate
// with which the connection was made that brought it, nil when there was none: a token that is bound to
// another certificate is refused (RFC 8705, section 3).
func (v *Verifier) Verify(ctx context.Context, raw string, peer *x509.Certificate) (Claims, error) {
	panic("not yet")
}

// VerifyWithoutPossession is Verify without the look at the certificate. It is for who examines a token
// that somebody else holds, such as the subject token of an exchange: it proves what was said, not
// that its bringer is the one of whom it was said.
func (v *Verifier) VerifyWithoutPossession(ctx context.Context, raw string) (Claims, error) {
	panic("not yet")
}

// Handler lets requests with a good token through to next, with its Claims in the context.
func (v *Verifier) Handler(next http.Handler) http.Handler { panic("not yet") }

// Authenticate is Handler for gRPC: it returns ctx with the Claims of the token in the call's metadata. An
// interceptor is three lines around it.
func (v *Verifier) Authenticate(ctx context.Context) (context.Context, error) { panic("not yet") }

// RequireScope lets requests through whose token has scope.
func RequireScope(scope string, next http.Handler) http.Handler { panic("not yet") }

// NewContext returns ctx with c in it.
func NewContext(ctx context.Context, c Claims) context.Context { panic("not yet") }

// FromContext returns the Claims of the request's token, and false when there are none.
func FromContext(ctx context.Context) (Claims, bool) { panic("not yet") }
