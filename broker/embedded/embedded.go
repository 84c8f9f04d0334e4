// Package embedded is a trust domain on loopback.
package embedded

import (
	"context"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Config describes a Domain.
type Config struct {
	// Name is the trust domain; the zero value means "intercom.test".
	Name spiffeid.TrustDomain
	// SVIDLife is how long an X.509-SVID lives; 0 means 1 h. It is renewed at half of it.
	SVIDLife time.Duration
	// JWTLife is how long a JWT-SVID lives; 0 means 5 min.
	JWTLife time.Duration
	// Issuer is the `iss` of JWT-SVIDs; empty means that they have none.
	Issuer string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Domain is a trust domain with its authorities.
type Domain struct{}

// New returns a Domain with new keys.
func New(cfg Config) (*Domain, error) { panic("not yet") }

// Name returns the trust domain.
func (d *Domain) Name() spiffeid.TrustDomain { panic("not yet") }

// ID returns the SPIFFE ID with that path in d, and panics when the path is not one.
func (d *Domain) ID(path string) spiffeid.ID { panic("not yet") }

// Bundle returns a copy of d's own bundle, X.509 and JWT authorities.
func (d *Domain) Bundle() *spiffebundle.Bundle { panic("not yet") }

// X509SVID returns a new X.509-SVID.
func (d *Domain) X509SVID(id spiffeid.ID) (*x509svid.SVID, error) { panic("not yet") }

// JWTSVID returns a new JWT-SVID.
func (d *Domain) JWTSVID(id spiffeid.ID, audience ...string) (*jwtsvid.SVID, error) {
	panic("not yet")
}

// SetDNS gives later SVIDs of id these DNS names; the first is the common name too.
func (d *Domain) SetDNS(id spiffeid.ID, names ...string) { panic("not yet") }

// Federate makes the workloads of d trust the authorities of other, now and after other's rotations.
func (d *Domain) Federate(other *Domain) { panic("not yet") }

// Rotate gives every workload new SVIDs now.
func (d *Domain) Rotate() { panic("not yet") }

// PrepareAuthority puts the next authorities into the bundle, before anything is signed with them.
func (d *Domain) PrepareAuthority() error { panic("not yet") }

// RotateAuthority signs with new authorities from now on (the prepared ones, if there are) and keeps the old in the bundle.
func (d *Domain) RotateAuthority() error { panic("not yet") }

// Serve serves the SPIFFE Workload API for id on a Unix socket until ctx ends.
func (d *Domain) Serve(ctx context.Context, socketPath string, id spiffeid.ID) error {
	panic("not yet")
}

// API is a Workload API whose socket is open.
type API struct{}

// Listen opens the socket, so that clients may connect before Run is called.
func (d *Domain) Listen(socketPath string, id spiffeid.ID) (*API, error) { panic("not yet") }

// Address returns the socket as go-spiffe and svid.Config want it, `unix:///…`.
func (a *API) Address() string { panic("not yet") }

// Run serves until ctx ends.
func (a *API) Run(ctx context.Context) error { panic("not yet") }

// Source is the identity of one workload without a socket: go-spiffe's three sources, and the methods of svid.Source.
type Source struct{}

// Source returns the identity of id.
func (d *Domain) Source(id spiffeid.ID) *Source { panic("not yet") }

// ID returns the SPIFFE ID.
func (s *Source) ID() spiffeid.ID { panic("not yet") }

// GetX509SVID implements x509svid.Source; it renews at half life.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) { panic("not yet") }

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	panic("not yet")
}

// GetJWTBundleForTrustDomain implements jwtbundle.Source.
func (s *Source) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	panic("not yet")
}

// FetchJWTSVID returns a new JWT-SVID for that audience.
func (s *Source) FetchJWTSVID(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	panic("not yet")
}

// JWTKeys returns a trust domain's JWT authorities as a plain JWK set, without `use`.
func (s *Source) JWTKeys(td spiffeid.TrustDomain) ([]byte, error) { panic("not yet") }

// Updated returns a channel that is closed at the next change.
func (s *Source) Updated() <-chan struct{} { panic("not yet") }

// Ready returns nil.
func (s *Source) Ready() error { return nil }
