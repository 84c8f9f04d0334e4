// Package pdp answers what policy says, for those whom policy lets ask.
package pdp

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// Policy decides and explains, now and under earlier revisions; *policy.Engine is one.
type Policy interface {
	policy.Decider
	Explain(context.Context, policy.Request) (policy.Explanation, error)
	At(revision string) (*policy.Snapshot, bool)
}

// Service answers questions about the policy.
type Service struct {
	// Point decides who may ask, and records; required.
	Point *pep.Point
	// Policy answers; required.
	Policy Policy
	// Find returns the audit entries of a decision id; nil means that decisions cannot be looked up here.
	Find func(ctx context.Context, id string) ([]audit.Entry, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) { panic("not yet") }
