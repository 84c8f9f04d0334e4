// Package identity has the words for who is asking: a [Principal] is the workload that called, the user
// on whose behalf it acts, the actors in between, and how each was proven. It proves nothing itself;
// package authn does.
package identity

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Proof is how an identity was proven.
type Proof string

// The proofs that authn accepts.
const (
	ByX509SVID Proof = "x509-svid" // mTLS on this very connection
	ByJWTSVID  Proof = "jwt-svid"  // a JWT-SVID whose only audience is us
	ByOIDC     Proof = "oidc"      // an access token of a configured OpenID issuer
	ByToken    Proof = "token"     // a token that we minted
)

// Workload is a caller that has an SVID.
type Workload struct {
	ID    spiffeid.ID
	Proof Proof
	// Thumbprint is the `x5t#S256` of the certificate that the connection was made with (RFC 8705,
	// section 3.1); empty unless Proof is ByX509SVID.
	Thumbprint string
	// NotAfter ends the proof: the certificate's, or the JWT-SVID's `exp`.
	NotAfter time.Time
}

// IsZero reports whether w names no workload.
func (w Workload) IsZero() bool { return w.ID.IsZero() }

// User is a person at an OpenID issuer.
type User struct {
	Issuer, Subject string
	Groups          []string
	Scopes          []string
	Claims          map[string]any
	Proof           Proof
	NotAfter        time.Time
}

// SubjectName returns the user in the policy's form, `user:ISSUER|SUB`.
func (u *User) SubjectName() string { return "user:" + u.Issuer + "|" + u.Subject }

// Principal is who is asking. The zero Principal is nobody, and nobody may do anything.
type Principal struct {
	Workload Workload
	// User is nil when the workload acts for itself.
	User *User
	// Actors are the workloads that the request came through before Workload, the latest first
	// (RFC 8693, section 4.1).
	Actors []spiffeid.ID
}

// IsZero reports whether p is nobody.
func (p Principal) IsZero() bool { return p.Workload.IsZero() }

// Subject returns the workload in the policy's form, its SPIFFE ID.
func (p Principal) Subject() string { return p.Workload.ID.String() }

// NotAfter is when the first of the proofs ends: nothing that is derived from p may outlive it.
func (p Principal) NotAfter() time.Time {
	end := p.Workload.NotAfter
	if p.User != nil && !p.User.NotAfter.IsZero() && (end.IsZero() || p.User.NotAfter.Before(end)) {
		end = p.User.NotAfter
	}
	return end
}

type contextKey struct{}

// NewContext returns ctx with p in it.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, p)
}

// FromContext returns the Principal that authn put into ctx, and false when there is none.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(contextKey{}).(Principal)
	return p, ok && !p.IsZero()
}
