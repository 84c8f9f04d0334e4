// Package authn answers who is calling, for whom, and how it was proven: it turns a request into an
// identity.Principal, or refuses it.
package authn

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/identity"
)

// FromTLS returns the workload at the other end of a connection that package mtls verified.
func FromTLS(state tls.ConnectionState) (identity.Principal, error) { panic("not yet") }

// UnaryInterceptor puts the caller's Principal into the context, or refuses the call.
func UnaryInterceptor() grpc.UnaryServerInterceptor { panic("not yet") }

// StreamInterceptor is UnaryInterceptor for streams.
func StreamInterceptor() grpc.StreamServerInterceptor { panic("not yet") }

// HTTP puts the caller's Principal into the request's context, or answers 401.
func HTTP(next http.Handler) http.Handler { panic("not yet") }

// Config is which JWT-SVIDs count.
type Config struct {
	// Domains are the trust domains that are allowed by name; empty means none.
	Domains []spiffeid.TrustDomain
	// JWTBundles has their JWT authorities; required.
	JWTBundles jwtbundle.Source
	// Audience is us: the one audience that a JWT-SVID must name; required.
	Audience string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told who was refused; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts refusals; nil means nobody does.
	Metrics *Metrics
}

// Verifier verifies JWT-SVIDs, for where TLS ends before us.
type Verifier struct{}

// New returns a Verifier.
func New(cfg Config) (*Verifier, error) { panic("not yet") }

// FromJWTSVID returns the workload that the token names.
func (v *Verifier) FromJWTSVID(ctx context.Context, token string) (identity.Principal, error) {
	panic("not yet")
}

// Metrics counts refusals. A nil Metrics counts nothing.
type Metrics struct{}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics { return &Metrics{} }
