package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	// Type is the JOSE header typ of our tokens (RFC 9068, section 2.1).
	Type = "at+jwt"
	// MaxLife is the longest life that Mint gives a token.
	MaxLife = 5 * time.Minute
	// MaxBytes is the longest token that is written or read.
	MaxBytes = 16 << 10
	// MaxActors is how many actors a token names at most.
	MaxActors = 8
)

// Actor is who acts for the token's subject, and through whom it came to act (RFC 8693, section 4.1). Only
// the outermost is acting now; the others are history.
type Actor struct {
	Subject string
	Issuer  string // empty: the token's own issuer names the actor
	Act     *Actor
}

// User is a user of an OpenID issuer, as `sub_id` names it (RFC 9493, section 3.2.2).
type User struct{ Issuer, Subject string }

// Name is the user as `sub` of our tokens: the form of policies, user:ISSUER|SUB, written as a URI, which a
// `sub` with a colon has to be (RFC 7519, section 2). Two issuers' users never share one.
func (u User) Name() string { return "user:" + u.Issuer + "%7C" + url.PathEscape(u.Subject) }

// isNamed reports whether the name is nobody else's: an issuer with a bar could end in two places.
func (u User) isNamed() bool {
	return u.Issuer != "" && u.Subject != "" && !strings.Contains(strings.ToUpper(u.Issuer), "%7C") && !strings.Contains(u.Issuer, "|")
}

// depth counts the actors, and stops counting where it is clear that there are too many.
func (a *Actor) depth() (n int) {
	for ; a != nil && n <= MaxActors; a = a.Act {
		n++
	}
	return n
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
	// User is the subject where that is a user of an OpenID issuer; nil: a workload. Subject is its Name.
	User *User
	// Groups are the user's (RFC 9068, section 2.2.3.1).
	Groups []string
	Act    *Actor
	// Confirmation is the x5t#S256 of the certificate that the token is bound to; empty: not bound.
	Confirmation string
}

// HasScope reports whether the token carries that scope.
func (c Claims) HasScope(scope string) bool { return slices.Contains(c.Scope, scope) }

// Signer signs claims; *keyring.Ring is one.
type Signer interface {
	Sign(ctx context.Context, typ string, claims any) (secret.Value, error)
}

// Mint returns claims as a signed token. That it does not outlive what it is derived from is the caller's
// duty, who knows that; that it does not live longer than [MaxLife] is held here.
func Mint(ctx context.Context, signer Signer, claims Claims) (secret.Value, error) {
	if err := claims.check(); err != nil {
		return secret.Value{}, err
	}
	if claims.ID == "" {
		claims.ID = rand.Text()
	}
	token, err := signer.Sign(ctx, Type, claims.wire())
	if err != nil {
		return secret.Value{}, err
	}
	if n := len(token.Reveal()); n > MaxBytes {
		return secret.Value{}, fault.Newf(fault.TooLarge, "TOKEN_TOO_LARGE", "the token would have %d bytes, %d are allowed", n, MaxBytes)
	}
	return token, nil
}

// check refuses claims that no verifier of ours would take, or that none should.
func (c Claims) check() error {
	life := c.Expiry.Sub(c.IssuedAt)
	switch {
	case c.Issuer == "" || c.Subject == "" || c.ClientID == "" || len(c.Audience) == 0 || slices.Contains(c.Audience, ""):
		return unmintable("iss, sub, client_id and aud are required (RFC 9068, section 2.2)")
	case c.IssuedAt.IsZero() || life <= 0 || life > MaxLife:
		return unmintable("its life is " + life.String())
	case c.Confirmation != "" && !isThumbprint(c.Confirmation):
		return unmintable("its confirmation is no SHA-256 in base64url")
	case c.User != nil && (!c.User.isNamed() || c.Subject != c.User.Name()):
		return unmintable("its user has no name, or another than the subject")
	case c.Act.depth() > MaxActors:
		return fault.Newf(fault.InvalidRequest, "TOKEN_ACTORS", "more than %d actors stand between the subject and the caller", MaxActors)
	}
	for _, scope := range c.Scope {
		if !isScope(scope) {
			return fault.New(fault.InvalidScope, "", "a scope has a character that RFC 6749, section 3.3, does not allow")
		}
	}
	for a := c.Act; a != nil; a = a.Act {
		if a.Subject == "" {
			return unmintable("an actor has no name")
		}
	}
	return nil
}

func unmintable(why string) error {
	return fault.New(fault.Internal, "", "the token cannot be minted").Because(errors.New(why))
}

// isScope checks the scope-token of RFC 6749, section 3.3: a space in one would make two of it.
func isScope(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// Thumbprint returns the x5t#S256 of a certificate (RFC 8705, section 3.1).
func Thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func isThumbprint(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

type contextKey struct{}

// NewContext returns ctx with c in it.
func NewContext(ctx context.Context, c Claims) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the Claims of the request's token, and false when there are none.
func FromContext(ctx context.Context) (Claims, bool) {
	c, ok := ctx.Value(contextKey{}).(Claims)
	return c, ok
}
