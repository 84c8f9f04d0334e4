package egress

import (
	"context"
	"strings"

	"github.com/intercom-broker/intercom/broker/policy"
)

// question is one about what a call touches beside its own resource.
type question struct {
	action   string
	resource policy.Entity
}

// touches names what a rule may deny to stop the call: the same path with or without its last slash, which
// many a service takes for one, and the credential or the audience of the token that would be put in.
func (a *act) touches() [2]question {
	return [2]question{
		{policy.ActionCall, policy.Entity{Type: "service", ID: otherSlash(a.grant.Resource.ID)}},
		a.upstream.identity(),
	}
}

// identity is the question about what is put into calls to u.
func (u *upstream) identity() question {
	switch in := u.service.Inject; {
	case in == nil:
		return question{policy.ActionExchange, policy.Entity{Type: "audience", ID: u.service.Token.Audience}}
	case in.Mint != nil:
		return question{policy.ActionExchange, policy.Entity{Type: "audience", ID: in.Mint.Audience}}
	default:
		return question{policy.ActionVend, policy.Entity{Type: "credential", ID: in.Credential()}}
	}
}

func otherSlash(resource string) string {
	if without, ok := strings.CutSuffix(resource, "/"); ok {
		return without
	}
	return resource + "/"
}

// vetoed returns the denial of a rule against any of what the act touches.
func (a *act) vetoed(ctx context.Context) error {
	for _, q := range a.beside {
		if err := a.handler.cfg.Point.Veto(ctx, a.grant, q.action, q.resource); err != nil {
			return err
		}
	}
	return nil
}

// still returns nil while the act is allowed and nothing that it touches is denied.
func (a *act) still(ctx context.Context) error {
	if err := a.handler.cfg.Point.Still(ctx, a.grant); err != nil {
		return err
	}
	return a.vetoed(ctx)
}
