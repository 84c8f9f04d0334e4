package policy

import (
	"context"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Snapshot is one policy, compiled. It never changes.
type Snapshot struct {
	revision string
	findings []Finding
	rules    []compiled
	denials  []int // the denies without condition
	roles    roles
	links    []link
	// One of the two decides: the index of the shipped model, or Casbin with the operator's own.
	index  *index
	casbin *reference
}

// Revision is a short hash of the model and all rules.
func (s *Snapshot) Revision() string { return s.revision }

// Findings are what was accepted and should be looked at.
func (s *Snapshot) Findings() []Finding { return slices.Clone(s.findings) }

// Warnings are the findings in words.
func (s *Snapshot) Warnings() (all []string) {
	for _, f := range s.findings {
		all = append(all, f.String())
	}
	return all
}

// Custom reports whether the directory has a model.conf of the operator's own, which Casbin decides.
func (s *Snapshot) Custom() bool { return s.casbin != nil }

// Rules returns how many rules there are.
func (s *Snapshot) Rules() int { return len(s.rules) }

// Decide implements [Decider].
func (s *Snapshot) Decide(_ context.Context, r Request) (Decision, error) {
	if err := check(&r); err != nil {
		return Decision{Revision: s.revision, Reason: ReasonNobody}, err
	}
	q := question{Request: &r}
	if s.casbin != nil {
		return s.conclude(&q, s.casbin.decide(&q)), nil
	}
	return s.conclude(&q, s.index.decide(&q)), nil
}

// MayDeny reports whether some rule may refuse that action: by its effect, or by a condition that fails.
// Where none may, an act need not ask about what it merely touches.
func (s *Snapshot) MayDeny(action string) bool { return s.index == nil || s.index.mayDeny(action) }

// check refuses a request that names nobody, or somebody whose name could be read in two ways.
func check(r *Request) error {
	if r.Principal.IsZero() {
		return fault.New(fault.Unauthenticated, "", "nobody is asking")
	}
	u := r.Principal.User
	if u != nil && (u.Issuer == "" || u.Subject == "" || strings.Contains(u.Issuer, "|")) {
		return fault.New(fault.Unauthenticated, "", "the user has no name")
	}
	return nil
}

// conclude is the one place where outcomes become a decision. On behalf of a user both sides have to be
// allowed, so that a workload cannot lend its rights to a user nor a user to a workload; what stops
// either stops both.
func (s *Snapshot) conclude(q *question, a answer) Decision {
	d := Decision{Revision: s.revision}
	for _, side := range []*outcome{&a.workload, &a.user} {
		if side.err != nil {
			d.Rule, d.Reason, d.Err = s.rule(side.stop), ReasonFailed, side.err
			return d
		}
		if side.stop >= 0 {
			d.Rule, d.Reason = s.rule(side.stop), ReasonDenied
			return d
		}
	}
	switch {
	case !a.workload.allowed:
		d.Reason = ReasonUnmatched
	case q.Principal.User == nil:
		d.Allow, d.Reason, d.Rule = true, ReasonAllowed, s.rule(a.workload.allow)
	case !a.user.allowed:
		d.Reason = ReasonUser
	default:
		d.Allow, d.Reason, d.Rule, d.UserRule = true, ReasonAllowed, s.rule(a.workload.allow), s.rule(a.user.allow)
	}
	return d
}

func (s *Snapshot) rule(i int32) *Rule {
	if i < 0 {
		return nil
	}
	return &s.rules[i].Rule
}
