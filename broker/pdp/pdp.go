// Package pdp answers what policy says, for those whom policy lets ask: asking about others is an act
// like any other, on the resource `pdp`, with `evaluate` for the answer and `explain` for its grounds.
package pdp

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// Service answers questions about the policy.
type Service struct {
	// Point decides who may ask, and records; required.
	Point *pep.Point
	// Policy answers; required.
	Policy *policy.Engine
	// Find returns the audit entries of a decision id; nil means that decisions cannot be looked up here.
	Find func(ctx context.Context, id string) ([]audit.Entry, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// resource is what asking is about.
func resource() policy.Entity { return policy.Entity{Type: "pdp"} }

// Evaluate returns what policy says to q, and the decision that let the caller ask.
func (s *Service) Evaluate(ctx context.Context, q policy.Request) (allow bool, g *pep.Grant, err error) {
	g, err = s.Point.Check(ctx, policy.ActionEvaluate, resource())
	if err != nil {
		return false, nil, err
	}
	q.Time = s.now()
	d, err := s.Policy.Decide(ctx, q)
	err = done(g, err)
	return err == nil && d.Allow, g, err
}

// Explain returns the grounds of what policy says to q now.
func (s *Service) Explain(ctx context.Context, q policy.Request) (e policy.Explanation, g *pep.Grant, err error) {
	g, err = s.Point.Check(ctx, policy.ActionExplain, resource())
	if err != nil {
		return policy.Explanation{}, nil, err
	}
	q.Time = s.now()
	e, err = s.Policy.Explain(ctx, q)
	return e, g, done(g, err)
}

// ExplainDecision returns the grounds of a decision that stands in the audit log, under the policy of
// then. When that is no longer kept, what was recorded is all there is, and it says so.
func (s *Service) ExplainDecision(ctx context.Context, id string) (e policy.Explanation, g *pep.Grant, err error) {
	g, err = s.Point.Check(ctx, policy.ActionExplain, resource())
	if err != nil {
		return policy.Explanation{}, nil, err
	}
	e, err = s.explainDecision(ctx, id)
	return e, g, done(g, err)
}

func (s *Service) explainDecision(ctx context.Context, id string) (policy.Explanation, error) {
	if s.Find == nil {
		return policy.Explanation{}, fault.New(fault.Unsupported, "NO_AUDIT_LOG", "decisions cannot be looked up here: ask with the audit directory, or with the question itself")
	}
	entries, err := s.Find(ctx, id)
	if err != nil {
		return policy.Explanation{}, err
	}
	// The last word counts: a grant that was withdrawn has a second decision under its id.
	for _, e := range slices.Backward(entries) {
		if e.Kind == audit.KindDecision && e.Decision == id {
			return s.explainRecorded(ctx, e.Event)
		}
	}
	return policy.Explanation{}, fault.New(fault.NotFound, "DECISION_UNKNOWN", "no such decision is in the log")
}

func (s *Service) explainRecorded(ctx context.Context, e audit.Event) (policy.Explanation, error) {
	then, kept := s.Policy.At(e.Revision)
	if !kept {
		return recorded(e, "the policy of that revision is no longer kept, so this is all that was recorded"), nil
	}
	q, err := policy.Question{Subject: e.Subject, User: e.User, Groups: e.Groups, Action: e.Action, Resource: e.Resource, Time: e.Time}.Request()
	if err != nil { // cut off because it was too long, for one
		return recorded(e, "the question cannot be asked again: "+err.Error()), nil
	}
	x, err := then.Explain(ctx, q)
	if err != nil {
		return policy.Explanation{}, err
	}
	if x.Allow != e.Allow {
		// The log keeps who and what, not every claim that a condition read.
		return recorded(e, "asked again the answer differs, so a condition read something that is not recorded; now: "+x.Why), nil
	}
	return x, nil
}

// recorded is what the log itself says.
func recorded(e audit.Event, but string) policy.Explanation {
	answer := "denied"
	if e.Allow {
		answer = "allowed"
	}
	why := fmt.Sprintf("recorded as %s under revision %s", answer, e.Revision)
	x := policy.Explanation{Decision: policy.Decision{Allow: e.Allow, Revision: e.Revision}}
	if e.Rule != "" {
		why += " by " + e.Rule
		x.Rule = place(e.Rule)
	}
	x.Why = why + "; " + but
	return x
}

// place reads file:line back.
func place(s string) *policy.Rule {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return &policy.Rule{File: s}
	}
	line, err := strconv.Atoi(s[i+1:])
	if err != nil {
		return &policy.Rule{File: s}
	}
	return &policy.Rule{File: s[:i], Line: line}
}

// done records the outcome of asking.
func done(g *pep.Grant, err error) error {
	if err != nil {
		err = fault.WithDecision(err, g.ID)
	}
	g.Done(pep.Outcome{Err: err})
	return err
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
