package pep

import (
	"context"
	"errors"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/policy"
)

// effectDeny is the effect of a rule that refuses.
const effectDeny = "deny"

// Veto asks whether a rule denies the principal of g what the act touches beside its own resource: the
// credential that would be put into a call, the audience that a token would be minted for. That no rule
// allows it is no veto, since the call itself was allowed; a rule that denies it is one, so that denying
// a leaked credential stops every use of it. So is an answer that cannot be had. A veto is recorded as a
// second decision under g's id; the caller ends the act, whether or not it could be written.
func (p *Point) Veto(ctx context.Context, g *Grant, action string, res policy.Entity) error {
	if !p.MayVeto(action) {
		return nil
	}
	also := &Grant{Principal: g.Principal, Action: action, Resource: res, ID: g.ID, about: g.about, trace: g.trace, began: p.now()}
	refusal := p.decide(ctx, also)
	if refusal == nil || !also.vetoed(refusal) {
		return nil
	}
	if err := p.record(ctx, also, refusal); err != nil {
		p.log().ErrorContext(ctx, "a veto is not in the audit log", "decision", g.ID, "error", err)
	}
	p.Metrics.withdrew(g)
	return refusal
}

// MayVeto reports whether Veto can say anything but nil for that action. It is true where the Decider does
// not know.
func (p *Point) MayVeto(action string) bool {
	d, knows := p.Decider.(interface{ MayDeny(action string) bool })
	return !knows || d.MayDeny(action)
}

// vetoed tells a rule that denies, and what could not be answered, from the mere want of an allow.
func (g *Grant) vetoed(refusal error) bool {
	if !errors.Is(refusal, fault.Denied) || g.Decision.Err != nil {
		return true
	}
	return g.Decision.Rule != nil && g.Decision.Rule.Effect == effectDeny
}
