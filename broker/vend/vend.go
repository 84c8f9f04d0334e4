// Package vend hands out: stored credentials, leased, to those whom policy lets have them; and to each
// sidecar what it needs to know of the services.
package vend

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/credential"
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

// Lease hands out the current version of a credential to the caller in ctx.
func (s *Service) Lease(ctx context.Context, r Request) (Lease, error) { panic("not yet") }

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) { panic("not yet") }

// Catalogs is the service files in force; *service.Watcher is one.
type Catalogs interface {
	Current() *service.Catalog
	Changed() <-chan struct{}
}

// Policy decides, and tells when it changes; *policy.Engine is one.
type Policy interface {
	policy.Decider
	Changed() <-chan struct{}
}

// Sidecars tells sidecars what they may reach, and how.
type Sidecars struct {
	// Services is required.
	Services Catalogs
	// Policy is required.
	Policy Policy
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
}

// Register adds the gRPC door.
func (s *Sidecars) Register(r grpc.ServiceRegistrar) { panic("not yet") }
