package embedded

import (
	"context"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/intercom-broker/intercom/broker/svid"
)

// Source is the identity of one workload without a socket: go-spiffe's three sources, with the methods of
// svid.Source. It needs no Close. It is safe for concurrent use.
type Source struct {
	domain *Domain
	id     spiffeid.ID

	mu        sync.Mutex
	current   *x509svid.SVID
	rotations int // the domain's count when current was made
	renew     time.Time
	alarm     *time.Timer // announces that current is to be renewed; nil until somebody asks for Updated
}

// Source returns the identity of id.
func (d *Domain) Source(id spiffeid.ID) *Source { return &Source{domain: d, id: id} }

// ID returns the SPIFFE ID.
func (s *Source) ID() spiffeid.ID { return s.id }

// GetX509SVID implements x509svid.Source. The SVID is replaced at half of its life.
func (s *Source) GetX509SVID() (*x509svid.SVID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.currentLocked()
}

func (s *Source) currentLocked() (*x509svid.SVID, error) {
	s.domain.mu.Lock()
	rotations := s.domain.rotations
	s.domain.mu.Unlock()
	now := s.domain.cfg.Now()
	if s.current != nil && s.rotations == rotations && now.Before(s.renew) {
		return s.current, nil
	}
	fresh, err := s.domain.X509SVID(s.id)
	if err != nil {
		return nil, err
	}
	s.current, s.rotations = fresh, rotations
	s.renew = now.Add(s.domain.cfg.SVIDLife / 2)
	if s.alarm != nil {
		s.alarm.Stop()
		s.alarm = nil
	}
	return fresh, nil
}

// Updated returns a channel that is closed at the next change of anything in the domain, this SVID's half
// life included.
func (s *Source) Updated() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.domain.updated()
	if _, err := s.currentLocked(); err == nil && s.alarm == nil {
		s.alarm = time.AfterFunc(s.renew.Sub(s.domain.cfg.Now()), s.ring)
	}
	return changed
}

func (s *Source) ring() {
	s.mu.Lock()
	s.alarm = nil
	s.mu.Unlock()
	s.domain.announce()
}

// GetX509BundleForTrustDomain implements x509bundle.Source.
func (s *Source) GetX509BundleForTrustDomain(td spiffeid.TrustDomain) (*x509bundle.Bundle, error) {
	return s.domain.bundles().GetX509BundleForTrustDomain(td)
}

// GetJWTBundleForTrustDomain implements jwtbundle.Source.
func (s *Source) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	return s.domain.bundles().GetJWTBundleForTrustDomain(td)
}

// FetchJWTSVID returns a new JWT-SVID whose only audience is audience.
func (s *Source) FetchJWTSVID(_ context.Context, audience string) (*jwtsvid.SVID, error) {
	return s.domain.JWTSVID(s.id, audience)
}

// JWTKeys returns a trust domain's JWT authorities as svid.Source does.
func (s *Source) JWTKeys(td spiffeid.TrustDomain) ([]byte, error) {
	bundle, err := s.GetJWTBundleForTrustDomain(td)
	if err != nil {
		return nil, err
	}
	return svid.PlainJWKS(bundle)
}

// Ready returns nil: a workload of an embedded domain always has an SVID.
func (s *Source) Ready() error { return nil }
