package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func policyCommand() *cobra.Command {
	return group("policy", "Test, explain and override the policy", policyTest(), policyExplain(), policyDenyNow())
}

func policyTest() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "test [CASES-DIR]", Short: "Run the txtar cases of a directory against a policy", Args: cobra.MaximumNArgs(1),
		Example: "  intercom policy test --policy policies",
		RunE: func(cmd *cobra.Command, args []string) error {
			cases := dir
			if len(args) == 1 {
				cases = args[0]
			}
			return runCases(cmd.OutOrStdout(), dir, cases)
		},
	}
	c.Flags().StringVar(&dir, "policy", "policies", "the policy's directory")
	return c
}

func runCases(w io.Writer, dir, cases string) error {
	snapshot, err := policy.Load(dir)
	if err != nil {
		return err
	}
	results, err := policy.RunCases(os.DirFS(cases), snapshot)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		return fmt.Errorf("%s: no cases: want *.txtar files", cases)
	}
	paint, failed := cli.PaintFor(w), 0
	for _, r := range results {
		if !r.Passed() {
			failed++
			fmt.Fprintf(w, "%s %s:%d: %s\n     %s\n", paint.Bad("FAIL"), r.File, r.Line, r.Text, r.Explanation.Why)
		}
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", len(results)-failed, failed)
	if failed > 0 {
		return cli.Silent
	}
	return nil
}

// explainFlags is one question, asked by its parts or by the id of a decision.
type explainFlags struct {
	policy, audit string
	ask           policy.Question
}

func policyExplain() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use: "explain [DECISION-ID]", Short: "Say which rule decides, which nearly did, and the smallest grant that would allow it",
		Args: cobra.MaximumNArgs(1),
		Example: `  intercom policy explain --policy policies --as spiffe://intercom.test/orders --action call --on service/crm/GET/customers
  intercom policy explain --audit audit d-01a209c5-d04e-7036-b13c-6f8e22a08947`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return explainRecorded(cmd.Context(), cmd.OutOrStdout(), f, args[0])
			}
			return explainAsked(cmd.Context(), cmd.OutOrStdout(), f)
		},
	}
	c.Flags().StringVar(&f.policy, "policy", "", "the policy's directory; for a decision id: only when its revision is not kept")
	c.Flags().StringVar(&f.audit, "audit", "", "the audit log's directory, for a decision id")
	c.Flags().StringVar(&f.ask.Subject, "as", "", "the workload's SPIFFE ID")
	c.Flags().StringVar(&f.ask.User, "for", "", "the user on whose behalf it acts, user:ISSUER|SUB")
	c.Flags().StringSliceVar(&f.ask.Groups, "group", nil, "a group of that user; may be repeated")
	c.Flags().StringVar(&f.ask.Action, "action", "", "the action, such as call")
	c.Flags().StringArrayVar(&f.ask.Facts, "with", nil, "what conditions and own models read: claims.NAME=VALUE, properties.NAME=…, context.NAME=…, time=…; may be repeated")
	c.Flags().StringVar(&f.ask.Resource, "on", "", "the resource, such as service/crm/GET/customers")
	return c
}

func explainAsked(ctx context.Context, w io.Writer, f explainFlags) error {
	if f.policy == "" || f.ask.Subject == "" || f.ask.Action == "" || f.ask.Resource == "" {
		return cli.Usagef("want a DECISION-ID with --audit, or --policy, --as, --action and --on")
	}
	snapshot, err := policy.Load(f.policy)
	if err != nil {
		return err
	}
	if !snapshot.Custom() && !slices.Contains(policy.Actions(), f.ask.Action) { // an own model has actions of its own
		return unknownAction(f.ask.Action)
	}
	return exit(explain(ctx, w, snapshot, f.ask))
}

// unknownAction: a misspelt question would be answered "denied", which is true and no help.
func unknownAction(action string) error {
	err := cli.Usagef("unknown action %q; the actions are %s", action, strings.Join(policy.Actions(), ", "))
	if near := strict.Suggest(action, policy.Actions()); near != "" {
		return cli.Hint(err, "--action %s", near)
	}
	return err
}

func explainRecorded(ctx context.Context, w io.Writer, f explainFlags, id string) error {
	if f.audit == "" {
		return cli.Usagef("a decision id wants --audit DIR")
	}
	entries, err := audit.Find(f.audit, id)
	if err != nil {
		return cli.Hint(err, "intercom audit tail --audit %s", f.audit)
	}
	if e := entries[0]; e.Kind == audit.KindDecision {
		return explainEntry(ctx, w, f, e)
	}
	return fmt.Errorf("%s is an operator's command, not a decision", id)
}

func explainEntry(ctx context.Context, w io.Writer, f explainFlags, e audit.Entry) (err error) {
	fmt.Fprintf(w, "%s  %s  %s\n\n", e.Decision, e.Time.Format(time.RFC3339), answer(e.Allow))
	snapshot, kept := policy.LoadRevision(broker.PolicyHistory(f.audit), e.Revision)
	if !kept {
		if f.policy == "" {
			return cli.Hint(fmt.Errorf("the policy of that time, revision %s, is no longer kept", e.Revision), "--policy DIR explains it by the policy of now")
		}
		fmt.Fprintf(w, "The policy of that time, revision %s, is no longer kept; this is what the policy of now says.\n\n", e.Revision)
		if snapshot, err = policy.Load(f.policy); err != nil {
			return err
		}
	}
	said, err := explain(ctx, w, snapshot, policy.Question{
		Subject: e.Subject, User: e.User, Groups: e.Groups, Action: e.Action, Resource: e.Resource, Time: e.Time, Facts: f.ask.Facts,
	})
	if err == nil && kept && said != e.Allow {
		fmt.Fprintf(w, "\nIt was %s then: what conditions or an own model read besides is not in the log; --with says it.\n", answer(e.Allow))
	}
	return exit(said, err)
}

// exit is the exit code of an answer: a denial is a no.
func exit(allow bool, err error) error {
	if err == nil && !allow {
		return cli.Silent
	}
	return err
}

// explain prints the grounds, and returns the answer.
func explain(ctx context.Context, w io.Writer, s *policy.Snapshot, q policy.Question) (allow bool, err error) {
	r, err := q.Request()
	if err != nil {
		return false, err
	}
	x, err := s.Explain(ctx, r)
	if err != nil {
		return false, err
	}
	printExplanation(w, q, x)
	return x.Allow, nil
}

func answer(allow bool) string {
	if allow {
		return "allowed"
	}
	return "denied"
}

func printExplanation(w io.Writer, q policy.Question, x policy.Explanation) {
	paint := cli.PaintFor(w)
	head := paint.Bad("denied")
	if x.Allow {
		head = paint.Good("allowed")
	}
	fmt.Fprintf(w, "%s  %s  %s  %s  (revision %s)\n%s\n", head, q.Subject, q.Action, q.Resource, x.Revision, x.Why)
	if x.Rule != nil {
		fmt.Fprintf(w, "\nrule\n  %s  %s\n", x.Rule, x.Rule.Text)
	}
	if len(x.RolePath) > 0 {
		fmt.Fprintf(w, "through\n  %s\n", strings.Join(x.RolePath, " → "))
	}
	if len(x.NearMisses) > 0 {
		fmt.Fprintln(w, "\nnearly")
		for _, n := range x.NearMisses {
			fmt.Fprintf(w, "  %s  %s  %s\n", n.Rule, n.Rule.Text, paint.Dim("differs in "+n.Differs))
		}
	}
	if x.SmallestGrant != "" {
		fmt.Fprintf(w, "\nsmallest grant\n  %s\n", strings.ReplaceAll(strings.TrimSpace(x.SmallestGrant), "\n", "\n  "))
	}
}

func policyDenyNow() *cobra.Command {
	var o override
	c := &cobra.Command{
		Use: "deny-now SUBJECT|RESOURCE", Short: "Deny a subject or a resource at once, for a while", Args: cobra.ExactArgs(1),
		Example: "  intercom policy deny-now spiffe://intercom.test/orders --for 1h --why 'key leaked' --policy policies --audit audit",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.why == "" || o.audit == "" {
				return cli.Usagef("want --why and --audit: an override is recorded with its reason")
			}
			o.what = args[0]
			return o.deny(cmd.Context(), cmd.OutOrStdout())
		},
	}
	c.Flags().StringVar(&o.policy, "policy", "policies", "the policy's directory")
	c.Flags().StringVar(&o.audit, "audit", "", "the audit log's directory")
	c.Flags().DurationVar(&o.life, "for", time.Hour, "how long")
	c.Flags().StringVar(&o.why, "why", "", "the reason, for the audit log")
	return c
}

// override is one throw of the emergency switch.
type override struct {
	what, why     string
	life          time.Duration
	policy, audit string
}

func (o override) deny(ctx context.Context, w io.Writer) error {
	if err := policy.CheckDeny(o.what); err != nil {
		return err
	}
	if !audit.Exists(o.audit) {
		return cli.Hint(fmt.Errorf("no audit log in %s", o.audit), "--audit is the directory that the broker's file names")
	}
	event := operatorEvent("deny-now", o.what)
	event.Why = fmt.Sprintf("for %v: %s", o.life, o.why)
	if err := audit.Append(ctx, o.audit, event); err != nil {
		return err
	}
	file, err := policy.DenyNow(o.policy, o.what, o.life, o.why, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is denied for %v by %s; delete the file to end it earlier\n", o.what, o.life, file)
	return nil
}
