// Package pep is the chokepoint: every act of the broker calls [Point.Check] first. Check asks policy,
// writes the answer into the audit log, and only then returns a [Grant]. Whatever goes wrong on the way
// is a refusal:
//
//	nobody is asking, or the proof of who it is has ended     Unauthenticated
//	no rule allows it, or a rule denies it                    Denied
//	policy cannot answer, also when it says allow beside      Unavailable, POLICY_FAILED
//	the audit log cannot take the decision                    Unavailable, the log's own reason
//	it was denied hundreds of times within seconds            Overloaded, DENIAL_LIMIT, unwritten
//
// The last one wins over the others: what is not recorded did not happen, and a caller that is told "no"
// under an id that is in no log could not be helped.
//
// The act's own end is the grant's [Grant.Done], which writes the second record. A grant that is never
// done stands in the log as an act of unknown outcome, which is what it is.
package pep

import (
	"context"
	"log/slog"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"go.opentelemetry.io/otel/trace"
)

// ReasonPolicy is the reason of a refusal because policy could not answer.
const ReasonPolicy = "POLICY_FAILED"

// skew is how far clocks may be apart; the doors allow the same.
const skew = 30 * time.Second

// Point is where policy is enforced. It is safe for concurrent use. A Point without a Decider or a
// Recorder refuses everything.
type Point struct {
	Decider  policy.Decider
	Recorder audit.Recorder
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears why policy could not answer, and of outcomes that could not be written; nil means
	// nobody does.
	Logger *slog.Logger
	// Denials bounds how many denials of one caller are written; nil bounds nothing.
	Denials *Denials
	// Metrics may be nil.
	Metrics *Metrics
}

// Check decides whether the Principal in ctx may do action on res, records the answer, and returns a
// Grant if it is yes. It refuses with a *fault.Error that carries the decision's id.
func (p *Point) Check(ctx context.Context, action string, res policy.Entity) (*Grant, error) {
	return p.CheckWith(ctx, action, res, nil)
}

// CheckWith is Check with the fourth part of a question, which only an operator's own model reads.
func (p *Point) CheckWith(ctx context.Context, action string, res policy.Entity, about map[string]any) (*Grant, error) {
	g := p.ask(ctx, action, res, about)

	// 1. Decide. Only a nil refusal is a yes.
	refusal := p.decide(ctx, g)

	// A caller that is denied over and over is told so in fewer words, and leaves the disk to the others.
	if refusal != nil {
		if err := p.Denials.spend(g.subject(), g.began); err != nil {
			p.Metrics.checked(g, err, p.now())
			return nil, err
		}
	}

	// 2. Record, before anything is done. A decision that is not written is no decision.
	if err := p.record(ctx, g, refusal); err != nil {
		p.Metrics.checked(g, err, p.now())
		return nil, err
	}
	p.Metrics.checked(g, refusal, p.now())

	// 3. Only now let go.
	if refusal != nil {
		return nil, refusal
	}
	return g, nil
}

// ask puts the question, and gives it its id and its time.
func (p *Point) ask(ctx context.Context, action string, res policy.Entity, about map[string]any) *Grant {
	g := p.question(ctx, action, res)
	g.ID, g.about = audit.NewID(), about
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		g.trace = span.TraceID().String()
	}
	return g
}

func (p *Point) question(ctx context.Context, action string, res policy.Entity) *Grant {
	who, _ := identity.FromContext(ctx) // the zero Principal is nobody
	return &Grant{Principal: who, Action: action, Resource: res, point: p, began: p.now()}
}

// decide answers g's question into g.Decision, and returns nil only if it is a yes.
func (p *Point) decide(ctx context.Context, g *Grant) error {
	switch end := g.Principal.NotAfter(); {
	case p.Decider == nil || p.Recorder == nil:
		return fault.New(fault.Internal, "", "internal error").Because(errIncomplete)
	case g.Principal.IsZero():
		return unauthenticated(g, policy.ReasonNobody)
	case !end.IsZero() && g.began.After(end.Add(skew)):
		return unauthenticated(g, reasonEnded)
	}
	d, err := p.Decider.Decide(ctx, policy.Request{
		Principal: g.Principal, Action: g.Action, Resource: g.Resource, Context: g.about, Time: g.began,
	})
	g.Decision = d
	switch {
	case err != nil:
		g.Decision.Allow, g.Decision.Reason = false, reasonFailed
		p.log().ErrorContext(ctx, "policy cannot answer", "decision", g.ID, "action", g.Action, "error", err)
		return fault.WithDecision(fault.New(fault.Unavailable, ReasonPolicy, "the decision could not be made").Because(err), g.ID)
	case d.Err != nil || !d.Allow:
		g.Decision.Allow = false
		return fault.WithDecision(fault.New(fault.Denied, "", "policy does not allow it").Because(d.Err), g.ID)
	}
	return nil
}

// Still asks the question of g again, as of now and under the policy of now, and returns nil while the
// answer is yes. It is for what goes on after its decision: streams and upgraded connections. Nothing is
// recorded until the answer is no; then a second decision goes into the log under g's id, and the caller
// ends the act, whether or not it could be written.
func (p *Point) Still(ctx context.Context, g *Grant) error { return p.StillFor(ctx, g, g.Principal) }

// StillFor is Still for a caller whose proofs have been renewed since.
func (p *Point) StillFor(ctx context.Context, g *Grant, who identity.Principal) error {
	again := &Grant{Principal: who, Action: g.Action, Resource: g.Resource, ID: g.ID, about: g.about, trace: g.trace, began: p.now()}
	refusal := p.decide(ctx, again)
	if refusal == nil || ctx.Err() != nil {
		return refusal
	}
	g.withdrawn.Do(func() {
		again.Decision.Reason = "withdrawn: " + again.Decision.Reason
		if err := p.record(ctx, again, refusal); err != nil {
			p.log().ErrorContext(ctx, "a withdrawn grant is not in the audit log", "decision", g.ID, "error", err)
		}
		p.Metrics.withdrew(g)
	})
	return refusal
}

func (p *Point) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

func (p *Point) log() *slog.Logger {
	if p.Logger != nil {
		return p.Logger
	}
	return slog.New(slog.DiscardHandler)
}
