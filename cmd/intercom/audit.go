package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func auditCommand() *cobra.Command {
	return group("audit", "Read and verify the audit log", auditTail(), auditVerify())
}

// operatorEvent is what an operator's command leaves in the audit log.
func operatorEvent(action, resource string) audit.Event {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return audit.Event{
		Decision: audit.NewID(), Kind: audit.KindAdmin, Time: time.Now(), Subject: "operator:" + name,
		Proof: "local", Action: action, Resource: resource, Allow: true,
	}
}

func auditTail() *cobra.Command {
	var dirs []string
	var cfg audit.TailConfig
	var raw bool
	c := &cobra.Command{
		Use: "tail", Short: "Print the audit log, a line an entry", Args: cobra.NoArgs,
		Example: "  intercom audit tail --audit audit --follow\n  intercom audit tail --audit gateway-1/audit --audit gateway-2/audit",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return tail(cmd.Context(), cmd.OutOrStdout(), dirs, cfg, raw)
		},
	}
	auditFlag(c, &dirs)
	c.Flags().BoolVarP(&cfg.Follow, "follow", "f", false, "wait for more")
	c.Flags().IntVarP(&cfg.Last, "last", "n", 20, "how many entries before the end; 0 means all")
	c.Flags().BoolVar(&raw, "json", false, "the entries as they stand in the log")
	return c
}

// auditFlag is for the commands that read several logs as one: each process has its own.
func auditFlag(c *cobra.Command, dirs *[]string) {
	c.Flags().StringArrayVar(dirs, "audit", []string{"audit"}, "the audit log's directory; may be repeated, for the logs of several processes")
}

func tail(ctx context.Context, w io.Writer, dirs []string, cfg audit.TailConfig, raw bool) error {
	if cfg.Last < 0 {
		return cli.Usagef("-n wants the number of entries, or 0 for all")
	}
	for _, dir := range dirs {
		if !audit.Exists(dir) {
			return fmt.Errorf("no audit log in %s", dir)
		}
	}
	paint := cli.PaintFor(w)
	for e, err := range audit.TailAll(ctx, dirs, cfg) {
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case raw:
			fmt.Fprintf(w, "%s\n", e.Raw)
		default:
			if len(dirs) > 1 {
				fmt.Fprint(w, paint.Dim(printable(e.Dir)), " ")
			}
			printEntry(w, paint, e)
		}
	}
	return nil
}

func printEntry(w io.Writer, paint cli.Paint, e audit.Entry) {
	at := e.Time.Format("2006-01-02T15:04:05.000Z07:00")
	switch e.Kind {
	case audit.KindDecision:
		verdict := paint.Bad("deny ")
		if e.Allow {
			verdict = paint.Good("allow")
		}
		fmt.Fprintf(w, "%s %s %s %s %s %s %s\n", at, e.Decision, verdict, printable(e.Subject+onBehalf(e)), e.Action, printable(e.Resource), paint.Dim(e.Rule))
	case audit.KindOutcome:
		fmt.Fprintf(w, "%s %s   %s %s\n", at, e.Decision, e.Result, paint.Dim(strings.TrimSpace(versioned(e)+" "+e.Duration.Round(time.Microsecond).String()+" "+printable(e.Why))))
	case audit.KindAdmin:
		fmt.Fprintf(w, "%s %s %s %s %s %s %s\n", at, e.Decision, paint.Warn("admin"), e.Subject, printable(e.Action), printable(e.Resource), paint.Dim(printable(e.Why)))
	default:
		fmt.Fprintf(w, "%s %s\n", at, paint.Dim(string(e.Kind)))
	}
}

// printable shows what callers and operators wrote without letting it speak to the terminal.
func printable(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	if quoted == `"`+s+`"` {
		return s
	}
	return quoted
}

func onBehalf(e audit.Entry) string {
	if e.User == "" {
		return ""
	}
	return " for " + e.User
}

func versioned(e audit.Entry) string {
	if e.Version == 0 { // none, or several with their versions in the name
		return e.Credential
	}
	return fmt.Sprintf("%s@%d", e.Credential, e.Version)
}

func auditVerify() *cobra.Command {
	var dirs, keys []string
	c := &cobra.Command{
		Use: "verify", Short: "Verify the audit log's chain and signatures; names the first broken entry", Args: cobra.NoArgs,
		Example: "  intercom audit verify --audit audit --key audit-public-key.pem",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(keys) > 0 && len(keys) != len(dirs) {
				return cli.Usagef("want as many --key as --audit, in the same order: each log has a key of its own")
			}
			return verifyAll(cmd.OutOrStdout(), cmd.ErrOrStderr(), dirs, keys)
		},
	}
	auditFlag(c, &dirs)
	c.Flags().StringArrayVar(&keys, "key", nil, "a file with the public half of the log's key, kept elsewhere; the one beside the log proves less")
	return c
}

// verifyAll verifies every log, whatever is wrong with another.
func verifyAll(out, errOut io.Writer, dirs, keys []string) error {
	if len(dirs) == 1 {
		return verify(out, dirs[0], strings.Join(keys, ""))
	}
	var bad []string
	for i, dir := range dirs {
		key := ""
		if len(keys) > 0 {
			key = keys[i]
		}
		fmt.Fprintf(out, "log        %s\n", printable(dir))
		if err := verify(out, dir, key); err != nil {
			fmt.Fprintf(errOut, "%s: %v\n", printable(dir), err)
			bad = append(bad, printable(dir))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not as written, or not to be read: %s", strings.Join(bad, ", "))
	}
	return nil
}

func verify(w io.Writer, dir, keyFile string) error {
	var key ed25519.PublicKey
	if keyFile != "" {
		var err error
		if key, err = audit.ReadPublicKey(keyFile); err != nil {
			return err
		}
	}
	report, err := audit.Verify(dir, key)
	if err != nil {
		return err
	}
	printReport(w, report)
	if report.Broken != nil {
		return report.Broken
	}
	return nil
}

func printReport(w io.Writer, r audit.Report) {
	key := "the key beside the log; one that is kept elsewhere proves more (--key)"
	if r.Outside {
		key = "the key that was given"
	}
	fmt.Fprintf(w, "entries    %d to %d in %d segments, %s to %s\n", r.First, r.Last, r.Segments, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	fmt.Fprintf(w, "decisions  %d, of which %d denied; %d outcomes, %d by operators\n", r.Decisions, r.Denied, r.Outcomes, r.Admin)
	fmt.Fprintf(w, "signed     up to entry %d, by %s\n", r.Covered, key)
	if r.TornBytes > 0 || r.TornTail > 0 {
		fmt.Fprintf(w, "torn       %d bytes that nobody was told are recorded\n", r.TornBytes+r.TornTail)
	}
	if r.UnknownCount > 0 {
		fmt.Fprintf(w, "unknown    %d allowed acts have no outcome, the first %s\n", r.UnknownCount, r.Unknown[0].Decision)
	}
}
