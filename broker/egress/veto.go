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

// slash is the question about the same path with or without its last slash, which many a service takes for one.
func (a *act) slash() question {
	return question{policy.ActionCall, policy.Entity{Type: "service", ID: otherSlash(a.grant.Resource.ID)}}
}

func otherSlash(resource string) string {
	if without, ok := strings.CutSuffix(resource, "/"); ok {
		return without
	}
	return resource + "/"
}

// vetoed returns the denial of a rule against any of what the act touches: the path with its last slash
// toggled, and the credentials, or the audience of the token, that would be put in.
func (a *act) vetoed(ctx context.Context) error {
	if a.handler.cfg.Point.MayVeto(policy.ActionCall) {
		if err := a.veto(ctx, a.slash()); err != nil {
			return err
		}
	}
	for _, q := range a.upstream.beside {
		if err := a.veto(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func (a *act) veto(ctx context.Context, q question) error {
	return a.handler.cfg.Point.Veto(ctx, a.grant, q.action, q.resource)
}

// still returns nil while the act is allowed and nothing that it touches is denied.
func (a *act) still(ctx context.Context) error {
	if err := a.handler.cfg.Point.Still(ctx, a.grant); err != nil {
		return err
	}
	return a.vetoed(ctx)
}
