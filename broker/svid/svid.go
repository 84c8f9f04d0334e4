package svid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
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
	// (JSON), which may hold JWT authorities too. Our own must be among them without Socket; with it,
	// bundles come from there and none may be named here.
	Bundles map[string]string
	// Wait is how long Open waits for the first SVID from a Workload API; 0 means 30 s.
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

func (c Config) withDefaults() Config {
	if c.Wait == 0 {
		c.Wait = 30 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// state is everything that was read, as of one moment. It is not changed once it is in a Source.
type state struct {
	svid *x509svid.SVID
	x509 *x509bundle.Set
	jwt  *jwtbundle.Set
}

// Source is our identity and the authorities that we trust, always the newest. It is go-spiffe's
// x509svid.Source, x509bundle.Source and jwtbundle.Source. It is safe for concurrent use.
type Source struct {
	cfg    Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  func() error
	tokens *tokens

	state atomic.Pointer[state]

	mu      sync.Mutex
	changed chan struct{}    // closed and replaced at each change of state
	failing map[string]error // what cannot be read at the moment
}

// Open returns a Source that holds an SVID. It fails when cfg.Wait or ctx is over before there is one, and
// says on which socket it waited. Afterwards ctx plays no part: the Source watches until Close.
func Open(ctx context.Context, cfg Config) (*Source, error) {
	s := &Source{cfg: cfg.withDefaults(), changed: make(chan struct{}), failing: map[string]error{}, close: func() error { return nil }}
	s.state.Store(&state{x509: x509bundle.NewSet(), jwt: jwtbundle.NewSet()})
	s.tokens = newTokens(s)
	var watching context.Context
	watching, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	open := s.openFiles
	if cfg.Socket != "" {
		open = s.openSocket
	}
	if err := open(ctx, watching); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close stops watching. What the Source holds can still be read.
func (s *Source) Close() error {
	s.cancel()
	s.wg.Wait()
	return s.close()
}

// ID returns our SPIFFE ID.
func (s *Source) ID() spiffeid.ID { return s.state.Load().svid.ID }

// GetX509SVID implements x509svid.Source. An SVID that has ended is an error: no peer would take it, and
// this says why.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) {
	own := s.state.Load().svid
	if own == nil {
		return nil, errors.New("svid: none yet")
	}
	if end := own.Certificates[0].NotAfter; s.cfg.Now().After(end) {
		return nil, fmt.Errorf("svid: ours ended at %s and no other came: %w", end.Format(time.RFC3339), s.lastFailure())
	}
	return own, nil
}

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return s.state.Load().x509.GetX509BundleForTrustDomain(td)
}

// GetJWTBundleForTrustDomain implements jwtbundle.Source.
func (s *Source) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	return s.state.Load().jwt.GetJWTBundleForTrustDomain(td)
}

// JWTKeys returns the JWT authorities of a trust domain as a plain JWK set; see [PlainJWKS].
func (s *Source) JWTKeys(td spiffeid.TrustDomain) ([]byte, error) {
	bundle, err := s.GetJWTBundleForTrustDomain(td)
	if err != nil {
		return nil, err
	}
	return PlainJWKS(bundle)
}

// Updated returns a channel that is closed at the next change of anything that the Source holds.
func (s *Source) Updated() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Ready returns nil while we hold an SVID that has not ended.
func (s *Source) Ready() error {
	_, err := s.GetX509SVID()
	return err
}

// swap puts what change makes of the state in its place, and reports whether that is anything new.
func (s *Source) swap(change func(state) state) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.state.Load()
	fresh := change(*old)
	if same(*old, fresh) {
		return false
	}
	s.state.Store(&fresh)
	close(s.changed)
	s.changed = make(chan struct{})
	return true
}

// failed notes why what cannot be read, and logs it when that is news.
func (s *Source) failed(what string, err error) {
	s.cfg.Metrics.failed(what)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.failing[what]; old == nil || old.Error() != err.Error() {
		s.cfg.Logger.Warn("identity is not renewed", "what", what, "from", s.origin(), "error", err)
	}
	s.failing[what] = err
}

// succeeded notes that what was read.
func (s *Source) succeeded(what string) {
	s.cfg.Metrics.updated(what, s.cfg.Now())
	s.recovered(what)
}

func (s *Source) recovered(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing[what] != nil {
		s.cfg.Logger.Info("identity is renewed again", "what", what, "from", s.origin())
	}
	delete(s.failing, what)
}

func (s *Source) lastFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range []string{whatX509, whatFiles} {
		if err := s.failing[what]; err != nil {
			return err
		}
	}
	return errors.New("nothing was heard")
}

func (s *Source) origin() string {
	if s.cfg.Socket != "" {
		return s.cfg.Socket
	}
	return s.cfg.CertFile
}

// The sorts of things that are read: labels of the metrics.
const (
	whatX509  = "x509"
	whatJWT   = "jwt_bundles"
	whatFiles = "files"
	whatToken = "jwt_svid"
)
