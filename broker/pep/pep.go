// Package pep is the chokepoint: every act calls [Point.Check] first.
package pep

import (
	"context"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/prometheus/client_golang/prometheus"
)

// Point is where policy is enforced.
type Point struct {
	Decider  policy.Decider
	Recorder audit.Recorder
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics may be nil.
	Metrics *Metrics
}

// Check decides whether the Principal in ctx may do action on res.
func (p *Point) Check(ctx context.Context, action string, res policy.Entity) (*Grant, error) {
	panic("not yet")
}

// CheckWith is Check with a context for the policy's conditions.
func (p *Point) CheckWith(ctx context.Context, action string, res policy.Entity, about map[string]any) (*Grant, error) {
	panic("not yet")
}

// Still asks the question of g again, under the policy of now. It returns nil while the answer is the same.
func (p *Point) Still(ctx context.Context, g *Grant) error { panic("not yet") }

// Grant is an allowed act.
type Grant struct {
	// Principal is who was allowed.
	Principal identity.Principal
	Action    string
	Resource  policy.Entity
	// Decision is what policy answered, with its revision.
	Decision policy.Decision
	// ID is the decision's id in the audit log.
	ID string
}

// Done records what became of the act; only the first call counts.
func (g *Grant) Done(o Outcome) { panic("not yet") }

// Outcome is what became of an act.
type Outcome struct {
	Credential string
	Version    uint64
	Bytes      int64
	Err        error
}

// Metrics counts decisions.
type Metrics struct{}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics { panic("not yet") }
