package vend

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
)

// Fetcher fetches credentials; *credential.Cache is one.
type Fetcher interface {
	Fetch(ctx context.Context, name credential.Name, stale time.Duration) (credential.Served, error)
}

// Service leases credentials.
type Service struct {
	// Point decides and records; required.
	Point *pep.Point
	// Store has the credentials; required.
	Store Fetcher
	// Services returns the catalogue in force; required.
	Services func() *service.Catalog
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Jitter returns a number from 0 to 1 that spreads renewals; nil means a random one.
	Jitter func() float64
	// Metrics counts; nil counts nothing.
	Metrics *Metrics
}

// Request names what the caller wants to hold.
type Request struct {
	Credential string
	// MinTTL is the least life that is of use; zero means any.
	MinTTL time.Duration
	// Purpose is for the audit log, at most 256 bytes.
	Purpose string
}

// Lease is a credential, handed out for a while.
type Lease struct {
	credential.Served
	// NotAfter ends the lease, and RenewAfter is when to ask again.
	NotAfter, RenewAfter time.Time
	Decision, Revision   string
}

// The reasons with which a lease is refused that policy allows.
const (
	ReasonNotVended = "NOT_VENDED"      // no service file says that it travels by vend
	ReasonTooShort  = "LEASE_TOO_SHORT" // the least life that is of use cannot be had
)

const maxPurpose = 256

// Lease hands out the current version of a credential to the caller in ctx.
func (s *Service) Lease(ctx context.Context, r Request) (lease Lease, err error) {
	name, err := r.parse()
	if err != nil {
		return Lease{}, err
	}
	grant, err := s.Point.CheckWith(ctx, policy.ActionVend, policy.Entity{Type: "credential", ID: string(name)}, r.about())
	if err != nil {
		return Lease{}, err
	}
	defer func() {
		if err != nil {
			err = fault.WithDecision(err, grant.ID)
		}
		grant.Done(pep.Outcome{Credential: string(lease.Name), Version: lease.Version, Why: r.Purpose, Err: err})
	}()
	terms, err := termsOf(s.Services().Vending(string(name)))
	if err != nil {
		return Lease{}, err
	}
	served, err := s.Store.Fetch(ctx, name, terms.stale)
	if err != nil {
		return Lease{}, err
	}
	lease, err = s.lease(served, terms, r.MinTTL)
	if err != nil {
		return Lease{}, err
	}
	lease.Decision, lease.Revision = grant.ID, grant.Decision.Revision
	s.Metrics.leased(served.From)
	return lease, nil
}

func (r Request) parse() (credential.Name, error) {
	unprintable := strings.ContainsFunc(r.Purpose, func(c rune) bool { return !unicode.IsPrint(c) })
	switch {
	case len(r.Purpose) > maxPurpose || unprintable:
		return "", fault.Newf(fault.InvalidRequest, "", "a purpose is at most %d bytes of printable text", maxPurpose)
	case r.MinTTL < 0:
		return "", fault.New(fault.InvalidRequest, "", "a least life is not negative")
	}
	return credential.ParseName(r.Credential)
}

// about is what an own model may read beside the question.
func (r Request) about() map[string]any {
	if r.Purpose == "" {
		return nil
	}
	return map[string]any{"purpose": r.Purpose}
}

// terms are what the service files say of a credential.
type terms struct{ ttl, stale time.Duration }

// termsOf returns the strictest terms of all services that vend the same credential: the lease does not
// say for which of them it is.
func termsOf(vending []*service.Service) (terms, error) {
	if len(vending) == 0 {
		return terms{}, fault.New(fault.Denied, ReasonNotVended, "no service file says that this credential is handed out")
	}
	t := terms{vending[0].Vends().TTL, vending[0].Stale}
	for _, s := range vending[1:] {
		t.ttl, t.stale = min(t.ttl, s.Vends().TTL), min(t.stale, s.Stale)
	}
	return t, nil
}

// lease gives what was served its end.
func (s *Service) lease(served credential.Served, t terms, least time.Duration) (Lease, error) {
	if least > t.ttl {
		return Lease{}, fault.Newf(fault.InvalidRequest, ReasonTooShort, "this credential is handed out for at most %s", t.ttl)
	}
	now := s.now()
	end := now.Add(t.ttl)
	if served.HardDeadline.Before(end) {
		end = served.HardDeadline
	}
	life := end.Sub(now)
	if life <= 0 || life < least {
		return Lease{}, fault.New(fault.Unavailable, ReasonTooShort, "the credential cannot be had for as long as it is needed")
	}
	return Lease{Served: served, NotAfter: end, RenewAfter: now.Add(s.renewal(life))}, nil
}

// renewal is two thirds of a life, and up to a tenth of that less.
func (s *Service) renewal(life time.Duration) time.Duration {
	jitter := s.Jitter
	if jitter == nil {
		jitter = rand.Float64 // spreads load, guards nothing
	}
	return time.Duration(float64(life) * 2 / 3 * (1 - jitter()/10))
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
