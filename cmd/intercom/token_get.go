package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// askFlags say what token is wanted, and how it is told.
type askFlags struct {
	broker             brokerFlags
	audience, resource string
	scope              []string
	bind               string
	subject, actor     string
	subjectType        string
	actorType          string
	explain, json      bool
}

func (f *askFlags) add(c *cobra.Command) {
	f.broker.add(c)
	c.Flags().StringVar(&f.audience, "audience", "", "the audience of the service that the token is for")
	c.Flags().StringVar(&f.resource, "resource", "", "instead of --audience, or beside it: the service's origin, https://host:port")
	c.Flags().StringSliceVar(&f.scope, "scope", nil, "what the token should carry; everything that may be had when absent")
	c.Flags().StringVar(&f.bind, "bind", "", "svid binds the token to our certificate, none makes it a bearer token; the service decides when absent")
	c.Flags().BoolVar(&f.explain, "explain", false, "ask the broker for the rule too; that is an act of its own, which policy has to allow us")
	c.Flags().BoolVar(&f.json, "json", false, "the token and all about it as one JSON document")
}

const tokenLong = `The token goes to standard output and nothing else does, so it can be piped; the
decision's id, what the token may be used for, and what would have been wider go to
standard error.`

func tokenGet() *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use: "get", Short: "Get a token for a service, as the workload that we are", Args: cobra.NoArgs,
		Long: "Get a token for a service, as the workload that our SVID says we are.\n\n" + tokenLong,
		Example: `  intercom token get --sidecar /etc/intercom/sidecar.yaml --audience inventory
  intercom token get --sidecar /etc/intercom/sidecar.yaml --audience ledger --scope read | intercom token decode -`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(c)
	return c
}

func tokenExchange() *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use: "exchange", Short: "Trade a token for a narrower one (RFC 8693)", Args: cobra.NoArgs,
		Long: "Trade a token that names a subject for one that is good for one service, with us as\nthe actor.\n\n" + tokenLong,
		Example: `  intercom token exchange --sidecar /etc/intercom/sidecar.yaml --audience ledger --subject - < user.jwt
  intercom token exchange --sidecar /etc/intercom/sidecar.yaml --audience ledger --subject user.jwt --scope read`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.subject == "" {
				return cli.Usagef("want --subject FILE, or --subject - for standard input; without a subject it is: intercom token get")
			}
			if f.subject == "-" && f.actor == "-" {
				return cli.Usagef("standard input holds one token: give the other one in a file")
			}
			return f.run(cmd)
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.subject, "subject", "", "the file of the token that names the subject; - is standard input")
	c.Flags().StringVar(&f.subjectType, "subject-type", "access_token", "its type: access_token, jwt, id_token or a URN")
	c.Flags().StringVar(&f.actor, "actor", "", "the file of a token that names who acts; we do when absent")
	c.Flags().StringVar(&f.actorType, "actor-type", "jwt", "its type")
	return c
}

func (f *askFlags) run(cmd *cobra.Command) error {
	req, err := f.request(cmd.InOrStdin())
	if err != nil {
		return err
	}
	c, done, err := f.broker.dial(cmd.Context())
	if err != nil {
		return err
	}
	defer done()
	resp, err := c.Exchange(cmd.Context(), req)
	if err != nil {
		return f.denied(cmd.Context(), cmd.ErrOrStderr(), c, err)
	}
	got := f.got(cmd.Context(), c, resp)
	if f.json {
		return writeJSON(cmd.OutOrStdout(), got)
	}
	got.print(cmd.ErrOrStderr())
	_, err = fmt.Fprintln(cmd.OutOrStdout(), resp.GetAccessToken())
	return err
}

// request is the question of RFC 8693, section 2.1.
func (f *askFlags) request(in io.Reader) (*intercomv1.ExchangeRequest, error) {
	if f.audience == "" && f.resource == "" {
		return nil, cli.Usagef("want --audience or --resource")
	}
	bind, ok := map[string]intercomv1.Bind{
		"": intercomv1.Bind_BIND_UNSPECIFIED, "svid": intercomv1.Bind_BIND_X5T_S256, "none": intercomv1.Bind_BIND_NONE,
	}[f.bind]
	if !ok {
		return nil, cli.Usagef("--bind %q: want svid or none", f.bind)
	}
	req := &intercomv1.ExchangeRequest{Scope: f.scope, Bind: bind}
	if f.audience != "" {
		req.Audience = []string{f.audience}
	}
	if f.resource != "" {
		req.Resource = []string{f.resource}
	}
	for _, t := range []struct {
		from, kind string
		text, urn  *string
	}{
		{f.subject, f.subjectType, &req.SubjectToken, &req.SubjectTokenType},
		{f.actor, f.actorType, &req.ActorToken, &req.ActorTokenType},
	} {
		if err := readInto(t.text, t.urn, t.from, t.kind, in); err != nil {
			return nil, err
		}
	}
	return req, nil
}

func readInto(text, urn *string, from, kind string, in io.Reader) (err error) {
	if from == "" {
		return nil
	}
	if *urn, err = tokenType(kind); err != nil {
		return err
	}
	value, err := readToken(from, in)
	*text = string(value.Reveal())
	return err
}

// denied adds to a refusal the decision's id and who can say more about it.
func (f *askFlags) denied(ctx context.Context, w io.Writer, c *client.Client, err error) error {
	e := fault.From(err)
	if e.Decision == "" {
		return fmt.Errorf("%s (%s)", e.Message, e.Code())
	}
	if f.explain {
		explainDecision(ctx, w, c, &intercomv1.ExplainRequest{About: &intercomv1.ExplainRequest_DecisionId{DecisionId: e.Decision}})
	}
	return cli.Hint(fmt.Errorf("%s (%s), decision %s", e.Message, e.Code(), e.Decision), "intercom policy explain --audit DIR %s", e.Decision)
}

// explainDecision asks and prints; that we may not ask is worth a line, and no failure.
func explainDecision(ctx context.Context, w io.Writer, c *client.Client, req *intercomv1.ExplainRequest) {
	x, err := c.Explain(ctx, req)
	if err != nil {
		fmt.Fprintf(w, "policy    not explained: %s\n", fault.From(err).Message)
		return
	}
	fmt.Fprintf(w, "policy    %s\n", harmless(x.GetReason()))
	for _, near := range x.GetNearMisses() {
		fmt.Fprintf(w, "nearly    %s:%d  %s  differs in %s\n", near.GetRule().GetFile(), near.GetRule().GetLine(), harmless(near.GetRule().GetText()), near.GetDiffers())
	}
	if grant := x.GetSmallestGrant(); grant != "" {
		fmt.Fprintf(w, "grant     %s\n", strings.ReplaceAll(harmless(grant), "\n", "\n          "))
	}
}

// left is how long something lives yet, as people read it.
func left(t, now time.Time) string {
	d := t.Sub(now).Round(time.Second)
	if d <= 0 {
		return "EXPIRED " + (-d).String() + " ago"
	}
	return "in " + d.String()
}
