package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

// sessionFlags say which gateways and which of their sessions a command is about.
type sessionFlags struct {
	config, user, sid string
	all               bool
}

func (f *sessionFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "the gateway's file, which names Redis, the sealing keys and the audit log")
	c.Flags().StringVar(&f.user, "user", "", "the sessions of a user, by the provider's sub")
	c.Flags().StringVar(&f.sid, "sid", "", "the sessions of one login at the provider, by its sid")
	c.Flags().BoolVar(&f.all, "all", false, "every session")
	_ = c.MarkFlagRequired("config")
	c.MarkFlagsMutuallyExclusive("user", "sid", "all")
}

// query is what the flags ask for, and its name in the audit log.
func (f *sessionFlags) query(issuer string) (session.Query, string) {
	switch {
	case f.user != "":
		return session.Query{Issuer: issuer, Subject: f.user}, "session/user/" + f.user
	case f.sid != "":
		return session.Query{Issuer: issuer, SID: f.sid}, "session/sid/" + f.sid
	default:
		return session.Query{}, "session"
	}
}

// open records the command, and finds what it is about: what is not recorded is not done.
func (f *sessionFlags) open(ctx context.Context, action string) (_ *session.Manager, found []session.Session, done func(), err error) {
	cfg, err := gateway.LoadConfig(f.config)
	if err != nil {
		return nil, nil, nil, cli.Hint(err, "intercom check --gateway %s", f.config)
	}
	m, done, err := gateway.OpenSessions(ctx, cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	q, resource := f.query(cfg.Provider.Issuer)
	if err = audit.Append(ctx, cfg.Audit.Dir, operatorEvent(action, resource)); err == nil {
		found, err = m.List(ctx, q)
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	slices.SortFunc(found, func(a, b session.Session) int { return a.Created.Compare(b.Created) })
	return m, found, done, nil
}

func sessionsCommand() *cobra.Command {
	return group("sessions", "See and end the sessions of browsers, at all gateways at once", sessionsList(), sessionsEnd())
}

func sessionsList() *cobra.Command {
	var f sessionFlags
	c := &cobra.Command{
		Use: "list", Short: "Print who is logged in; all where nothing is asked for", Args: cobra.NoArgs,
		Example: "  intercom sessions list --config gateway.yaml --user 7d3c",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, found, done, err := f.open(cmd.Context(), "sessions-list")
			if err != nil {
				return err
			}
			defer done()
			return printSessions(cmd.OutOrStdout(), found)
		},
	}
	f.add(c)
	return c
}

func printSessions(w io.Writer, found []session.Session) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tSID\tORIGIN\tSINCE\tUNTIL\tGROUPS")
	for _, s := range found {
		fmt.Fprintf(t, "%q\t%q\t%s\t%s\t%s\t%q\n", s.Subject, s.SID, s.Origin, s.Created.UTC().Format(time.RFC3339), s.End().UTC().Format(time.RFC3339), strings.Join(s.Groups, " "))
	}
	return t.Flush()
}

const endLong = `End sessions at all gateways, within a second. Their browsers are logged out here,
and not at the provider: a user who is still logged in there logs in again without
being asked. To keep somebody out, disable him at the provider first.`

func sessionsEnd() *cobra.Command {
	var f sessionFlags
	c := &cobra.Command{
		Use: "end --user SUB | --sid SID | --all", Short: "End sessions", Long: endLong, Args: cobra.NoArgs,
		Example: "  intercom sessions end --config gateway.yaml --user 7d3c",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.user == "" && f.sid == "" && !f.all {
				return cli.Usagef("want --user, --sid or --all")
			}
			m, found, done, err := f.open(cmd.Context(), "sessions-end")
			if err != nil {
				return err
			}
			defer done()
			n, err := endAll(cmd.Context(), m, found)
			fmt.Fprintf(cmd.OutOrStdout(), "%d of %d sessions ended\n", n, len(found))
			return err
		},
	}
	f.add(c)
	return c
}

// endAll ends all that it can. One that was over by itself meanwhile is as good as ended.
func endAll(ctx context.Context, m *session.Manager, found []session.Session) (n int, err error) {
	for _, s := range found {
		e := m.End(ctx, s, session.ReasonOperator)
		if e == nil || fault.KindOf(e) == fault.Unauthenticated {
			n++
			continue
		}
		err = errors.Join(err, e)
	}
	return n, err
}
