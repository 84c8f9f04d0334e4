package svid

import (
	"context"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Config says where our identity comes from: a Workload API, or files.
type Config struct {
	// Socket is the Workload API, as `unix:///run/spire/agent.sock`; empty means files.
	Socket string
	// CertFile and KeyFile hold the X.509-SVID with its chain and its PKCS #8 key, in PEM; both are
	// required without Socket and refused with it.
	CertFile, KeyFile string
	// Bundles has, for each trust domain by name, a file with its authorities: PEM, or a SPIFFE bundle
	// (JSON), which may hold JWT authorities too. Without Socket ours must be among them.
	Bundles map[string]string
	// Wait is how long Open waits for the first SVID; 0 means 30 s.
	Wait time.Duration
	// Poll is how often files are read again; 0 means 1 s.
	Poll time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of rotations and failures; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts them; nil means nobody does.
	Metrics *Metrics
}

// Source is our identity and the authorities that we trust, always the newest. It is go-spiffe's
// x509svid.Source, x509bundle.Source and jwtbundle.Source, and safe for concurrent use.
type Source struct{}

// Open returns a Source that holds an SVID, or fails once cfg.Wait is over and says on which socket it
// waited.
func Open(ctx context.Context, cfg Config) (*Source, error) { panic("not yet") }

// ID returns our SPIFFE ID.
func (s *Source) ID() spiffeid.ID { panic("not yet") }

// GetX509SVID implements x509svid.Source.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) { panic("not yet") }

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	panic("not yet")
}

// GetJWTBundleForTrustDomain implements jwtbundle.Source.
func (s *Source) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	panic("not yet")
}

// FetchJWTSVID returns a JWT-SVID of ours whose only audience is audience.
func (s *Source) FetchJWTSVID(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	panic("not yet")
}

// JWTKeys returns the JWT authorities of a trust domain as a plain JWK set, in which no key has a `use`.
func (s *Source) JWTKeys(td spiffeid.TrustDomain) ([]byte, error) { panic("not yet") }

// Updated returns a channel that is closed at the next change.
func (s *Source) Updated() <-chan struct{} { panic("not yet") }

// Ready returns nil while we hold an SVID that is valid.
func (s *Source) Ready() error { panic("not yet") }

// Close stops watching.
func (s *Source) Close() error { panic("not yet") }
