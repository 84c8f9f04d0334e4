package bff

import (
	"context"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
)

// check asks policy, for the gateway and for the user in one decision. A rule that denies the path with its last
// slash toggled denies it too, as at the broker's egress door: many a service takes the two for one. What is for
// everybody and gets nothing of the user is not asked about the user: who is logged in may what nobody in
// particular may.
func (v *visit) check() (err error) {
	ctx := identity.NewContext(v.r.Context(), v.principal(v.who))
	if v.grant, err = v.decide(ctx, v.resource(v.path)); err != nil {
		return refusedBy(err)
	}
	if err := v.Point.Veto(ctx, v.grant, policy.ActionCall, v.resource(otherSlash(v.path))); err != nil {
		v.grant.Done(pep.Outcome{Err: err})
		return refusedBy(err)
	}
	return nil
}

// principal is who asks: the gateway, and the user where there is one whom it concerns.
func (v *visit) principal(who *session.Session) identity.Principal {
	p, b := identity.Principal{Workload: v.Self()}, v.route.Service.Browser
	if who != nil && (!b.Require.Anonymous || b.User.Kind != service.UserNone) {
		p.User = v.memory.user(*who)
	}
	return p
}

// still asks again of a stream that was allowed, by the policy, the session and our own proof of now. That the
// session has ended is told by who watches it.
func (v *visit) still(ctx context.Context) error {
	who := v.who
	if who != nil {
		now, err := v.Sessions.Get(ctx, v.id)
		if err != nil {
			return nil
		}
		who = &now
	}
	if err := v.Point.StillFor(ctx, v.grant, v.principal(who)); err != nil {
		return refusedBy(err)
	}
	if err := v.Point.Veto(ctx, v.grant, policy.ActionCall, v.resource(otherSlash(v.path))); err != nil {
		return refusedBy(err)
	}
	return nil
}

func (v *visit) resource(path string) policy.Entity {
	return policy.Entity{Type: "service", ID: v.route.Service.Name + "/" + v.r.Method + path}
}

// decide has each act that may change something in the log, and of a page's many reads one for each session,
// route, policy and minute.
func (v *visit) decide(ctx context.Context, res policy.Entity) (*pep.Grant, error) {
	if !isRead(v.r.Method) || hygiene.IsUpgrade(v.r) {
		return v.Point.Check(ctx, policy.ActionCall, res)
	}
	act := read{service: v.route.Service.Name, match: v.route.Match.Pos}
	if v.who != nil {
		act.session = v.who.Hash
	}
	return v.reads.Check(ctx, v.Point, act, policy.ActionCall, res)
}

// read is what is alike in the log: the requests of a session, or of all who have none, to one match.
type read struct {
	service, match string
	session        session.Hash
}

// refusedBy says a refusal in words that a page acts on. Of a session that passed step 4 nobody is to log in again:
// where a proof has ended it is the gateway's own.
func refusedBy(err error) error {
	e := *fault.From(err)
	switch e.Kind {
	case fault.Denied:
		e.Reason = ReasonPolicy
	case fault.Unauthenticated:
		e.Kind, e.Reason, e.Message = fault.Unavailable, "gateway_identity", "the gateway cannot prove who it is at the moment"
	}
	return &e
}

func otherSlash(path string) string {
	if without, ok := strings.CutSuffix(path, "/"); ok {
		return without
	}
	return path + "/"
}
