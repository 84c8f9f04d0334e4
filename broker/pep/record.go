package pep

import (
	"context"
	"errors"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

// What stands in the log where policy itself has no words.
const (
	reasonEnded  = "the proof of identity has ended"
	reasonFailed = "policy could not answer"
)

var errIncomplete = errors.New("pep: a Point needs a Decider and a Recorder")

func unauthenticated(g *Grant, why string) error {
	g.Decision.Reason = why
	return fault.WithDecision(fault.New(fault.Unauthenticated, "", why), g.ID)
}

// record writes the decision about g: a yes when there is no refusal.
func (p *Point) record(ctx context.Context, g *Grant, refusal error) error {
	if p.Recorder == nil {
		return refusal
	}
	err := p.Recorder.Record(ctx, g.event(refusal == nil))
	if err == nil {
		return nil
	}
	if fault.KindOf(err) == fault.Internal { // not in our words
		err = fault.New(fault.Unavailable, audit.ReasonFailed, "the audit log cannot take entries").Because(err)
	}
	return fault.WithDecision(err, g.ID)
}

// event is the first record. The resource's properties and the question's context are not in it: they
// are values, and the log holds names.
func (g *Grant) event(allow bool) audit.Event {
	e := audit.Event{
		Decision: g.ID, Kind: audit.KindDecision, Time: g.began, Proof: string(g.Principal.Workload.Proof),
		Action: g.Action, Resource: g.Resource.String(), Revision: g.Decision.Revision, Allow: allow, Trace: g.trace,
	}
	if !g.Principal.IsZero() {
		e.Subject = g.Principal.Subject()
	}
	if u := g.Principal.User; u != nil {
		addUser(&e, u)
	}
	for _, a := range g.Principal.Actors {
		e.Actors = append(e.Actors, a.String())
	}
	if r := g.Decision.Rule; r != nil {
		e.Rule = r.String()
	}
	switch {
	case !allow:
		e.Why = g.Decision.Reason
	case g.Decision.Rule == nil && g.Decision.Reason != policy.ReasonAllowed: // by what is no rule
		e.Why = g.Decision.Reason
	case g.Decision.UserRule != nil:
		e.Why = "the user by " + g.Decision.UserRule.String()
	}
	return e
}

func addUser(e *audit.Event, u *identity.User) {
	e.User, e.Groups = u.SubjectName(), u.Groups
	e.Proof += "+" + string(u.Proof)
}
