// Package exchange trades: a caller's proof of identity, or a token that it holds, for a token that is
// good for one service and for a few minutes (RFC 8693, RFC 9068).
package exchange

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/token"
)

// Service trades tokens.
type Service struct {
	// Point decides and records; required.
	Point *pep.Point
	// Services returns the catalogue in force; required.
	Services func() *service.Catalog
	// Signer signs; required.
	Signer token.Signer
	// Issuer is the `iss` of our tokens; required.
	Issuer string
	// MaxLife is the longest life of a token; 0 means five minutes, and more than that is five minutes.
	MaxLife time.Duration
	// Subjects verifies subject tokens, by the URI of their type; nil refuses all of them.
	Subjects map[string]SubjectVerifier
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// The token type URIs of RFC 8693, section 3, that we know.
const (
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// Binding is what a caller wants its token to be bound to.
type Binding uint8

// The bindings. The zero Binding leaves it to the service's setting.
const (
	BindDefault Binding = iota
	BindNone
	BindX5T
)

// Request has the parameters of RFC 8693, section 2.1.
type Request struct {
	SubjectToken       secret.Value
	SubjectTokenType   string
	ActorToken         secret.Value
	ActorTokenType     string
	Resource           []string
	Audience           []string
	Scope              []string
	RequestedTokenType string
	Bind               Binding
}

// Issued is a minted token, and the decision that allowed it.
type Issued struct {
	Token    secret.Value
	Audience string
	Expiry   time.Time
	Scope    []string
	Bind     service.Bind
	Decision string
	Revision string
}

// Subject is whom a subject token names.
type Subject struct {
	Workload identity.Workload
	// Audience is for whom the token was meant; empty when that was us.
	Audience []string
	// Limited: a new token may not carry more than Scope.
	Limited bool
	Scope   []string
	// Act is the chain of actors so far.
	Act *token.Actor
}

// SubjectVerifier verifies a subject token of one type.
type SubjectVerifier func(ctx context.Context, raw string) (Subject, error)

// OwnTokens verifies access tokens that we minted.
func OwnTokens(issuer string, keys token.KeySource, now func() time.Time) SubjectVerifier {
	panic("not yet")
}

// JWTSVIDs verifies JWT-SVIDs whose only audience is us.
func JWTSVIDs(v *authn.Verifier) SubjectVerifier { panic("not yet") }

// Exchange mints a token for the caller in ctx.
func (s *Service) Exchange(ctx context.Context, r Request) (Issued, error) { panic("not yet") }

// Mint mints a token for an act that g allows already.
func (s *Service) Mint(ctx context.Context, g *pep.Grant, audience string, scope []string, cnf string) (secret.Value, time.Time, error) {
	panic("not yet")
}

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) { panic("not yet") }

// Web answers on the web door: metadata and keys.
type Web struct {
	// Issuer is our https URL; required.
	Issuer string
	// Keys returns our JWK set and its entity tag; required.
	Keys func() (set []byte, etag string)
	// DomainKeys returns the trust domain's JWT authorities as a plain JWK set; nil means that there are none.
	DomainKeys func() ([]byte, error)
}

// Mount adds the web door.
func (w *Web) Mount(mux *http.ServeMux) { panic("not yet") }
