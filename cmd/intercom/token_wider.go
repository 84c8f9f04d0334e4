package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// gotten is a token and all about it. The JSON form has the token, since it was asked for.
type gotten struct {
	Token    string    `json:"access_token"`
	Type     string    `json:"token_type"`
	Issued   string    `json:"issued_token_type"`
	Expires  time.Time `json:"expires_at"`
	Scope    []string  `json:"scope"`
	Bound    string    `json:"bound_to,omitempty"`
	Decision string    `json:"decision"`
	Revision string    `json:"policy_revision"`
	Wider    []string  `json:"wider"`
	Explain  string    `json:"explain"`

	why func(io.Writer)
}

func (f *askFlags) got(ctx context.Context, c *client.Client, resp *intercomv1.ExchangeResponse) gotten {
	p := resp.GetProvenance()
	g := gotten{
		Token: resp.GetAccessToken(), Type: resp.GetTokenType(), Issued: resp.GetIssuedTokenType(), Expires: resp.GetExpiresAt().AsTime(),
		Scope: append([]string{}, resp.GetScope()...), Decision: p.GetDecisionId(), Revision: p.GetPolicyRevision(),
		Wider: []string{}, Explain: "intercom policy explain --audit DIR " + p.GetDecisionId(), why: func(io.Writer) {},
	}
	if resp.GetBind() == intercomv1.Bind_BIND_X5T_S256 {
		g.Bound = c.Conn().Thumbprint()
	}
	g.Wider = append(g.Wider, f.widerLife(resp.GetExpiresAt().AsTime())...)
	g.Wider = append(g.Wider, f.widerScope(resp.GetScope(), f.service(ctx, c))...)
	if f.explain {
		g.why = func(w io.Writer) {
			explainDecision(ctx, w, c, &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_DecisionId{DecisionId: p.GetDecisionId()}})
		}
	}
	return g
}

// service returns what the broker tells us of the service, and nil when it does not.
func (f *askFlags) service(ctx context.Context, c *client.Client) *intercomv1.Service {
	ctx, cancel := context.WithTimeout(ctx, f.broker.wait)
	defer cancel()
	for list, err := range c.WatchServices(ctx) {
		if err != nil {
			return nil
		}
		for _, s := range list.GetServices() {
			byOrigin := f.audience == "" && s.GetUrl() != "" && strings.HasPrefix(f.resource, s.GetUrl())
			if s.GetMode() == intercomv1.Mode_MODE_TOKEN && (s.GetAudience() == f.audience || byOrigin) {
				return s
			}
		}
		return nil
	}
	return nil
}

// widerScope says what the service takes beyond what the token carries, and why the token lacks it.
func (f *askFlags) widerScope(held []string, s *intercomv1.Service) []string {
	if s == nil {
		return []string{"the broker does not say what scope the service takes"}
	}
	missing := slices.DeleteFunc(slices.Clone(s.GetScope()), func(scope string) bool { return slices.Contains(held, scope) })
	if len(missing) == 0 {
		return nil
	}
	why := "not asked for: --scope names what is"
	if len(f.scope) == 0 {
		why = "the subject token does not hold it"
	}
	return []string{fmt.Sprintf("scope %s: the service takes it; %s", strings.Join(missing, " "), why)}
}

// widerLife says that the token ends before the longest life that a token has, which it does because of
// what it was derived from.
func (f *askFlags) widerLife(expires time.Time) []string {
	const slack = 15 * time.Second
	if time.Until(expires) > token.MaxLife-slack {
		return nil
	}
	of := "our SVID"
	if f.subject != "" {
		of = "the subject token, or our SVID,"
	}
	return []string{fmt.Sprintf("life: a token lives %v at most; %s ends earlier", token.MaxLife, of)}
}

func (g gotten) print(w io.Writer) {
	paint := cli.PaintFor(w)
	scope := strings.Join(g.Scope, " ")
	if scope == "" {
		scope = "none"
	}
	bound := paint.Warn("no: whoever holds it can use it")
	if g.Bound != "" {
		bound = "to certificate " + g.Bound + ": good only on connections made with it"
	}
	fmt.Fprintf(w, "decision  %s\nrevision  %s\nexpires   %s (%s)\nscope     %s\nbound     %s\n",
		g.Decision, g.Revision, g.Expires.Format(time.RFC3339), left(g.Expires, time.Now()), scope, bound)
	for _, line := range g.Wider {
		fmt.Fprintf(w, "wider     %s\n", line)
	}
	if len(g.Wider) == 0 {
		fmt.Fprintln(w, "wider     nothing: this is all that the service takes")
	}
	g.why(w)
	fmt.Fprintf(w, "why       %s\n", paint.Command(g.Explain))
}
