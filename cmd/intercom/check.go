package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

// checkFlags say what is looked at, and how it is told.
type checkFlags struct {
	config, sidecar, gateway, services, policy string
	trustDomain                                string
	strict, json, sarif                        bool
}

const checkLong = `Validate the broker's file, the service files, the policy, a sidecar's and a
gateway's file, each by itself and together, without starting anything. Credentials are compared too
where the store is a sealed file whose key can be read here: their names, nothing
else.

Exit codes: 0 when nothing is wrong, 1 when there is an error (with --strict: or a
warning), 2 when the command line is wrong.`

const checkExample = `  intercom check --config broker.yaml
  intercom check --config broker.yaml --sidecar sidecar.yaml --strict
  intercom check --gateway gateway.yaml
  intercom check --services services --policy policy --sarif > check.sarif`

func checkCommand() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use: "check", Short: "Validate the configuration, the service files and the policy, without starting anything",
		Long: checkLong + fieldsHelp(), Example: checkExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.config == "" && f.sidecar == "" && f.gateway == "" && f.services == "" && f.policy == "" {
				return cli.Usagef("want --config, --sidecar, --gateway, --services or --policy")
			}
			r := f.inspect(cmd)
			if err := f.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			if r.count(severityError) > 0 || f.strict && r.count(severityWarning) > 0 {
				return cli.Silent
			}
			return nil
		},
	}
	c.Flags().StringVar(&f.config, "config", "", "the broker's file; its policy and service files are checked too")
	c.Flags().StringVar(&f.sidecar, "sidecar", "", "a sidecar's file")
	c.Flags().StringVar(&f.gateway, "gateway", "", "a gateway's file; the service files' routes are held against its origins")
	c.Flags().StringVar(&f.services, "services", "", "a directory of service files, instead of the broker's")
	c.Flags().StringVar(&f.policy, "policy", "", "a policy's directory, instead of the broker's")
	c.Flags().StringVar(&f.trustDomain, "trust-domain", "", "our own trust domain, where it cannot be read off a certificate or a sidecar's file")
	c.Flags().BoolVar(&f.strict, "strict", false, "let warnings fail too")
	c.Flags().BoolVar(&f.json, "json", false, "one JSON document for scripts")
	c.Flags().BoolVar(&f.sarif, "sarif", false, "one SARIF 2.1.0 document for code hosts and editors")
	c.MarkFlagsMutuallyExclusive("json", "sarif")
	return c
}

// fieldsHelp lists what the conditions of rules may read.
func fieldsHelp() string {
	var b strings.Builder
	b.WriteString("\n\nThe condition of a rule may read:\n")
	names, docs := policy.ConditionFields()
	for i, name := range names {
		fmt.Fprintf(&b, "  %-18s %s\n", name, docs[i])
	}
	return strings.TrimRight(b.String(), "\n")
}

func (f checkFlags) print(w io.Writer, r *report) error {
	switch {
	case f.json:
		return printJSON(w, r)
	case f.sarif:
		return printSARIF(w, r)
	}
	return printFindings(w, r, f.strict)
}

// checked is one file or directory that was looked at, with what was found in it.
type checked struct {
	name     string
	findings []finding
}

// report is all that was found, by what it was found in.
type report struct{ checked []*checked }

func (r *report) add(name string, findings ...finding) {
	name = shown(name)
	i := slices.IndexFunc(r.checked, func(c *checked) bool { return c.name == name })
	if i < 0 {
		r.checked = append(r.checked, &checked{name: name})
		i = len(r.checked) - 1
	}
	r.checked[i].findings = append(r.checked[i].findings, findings...)
}

func (r *report) all() (all []finding) {
	for _, c := range r.checked {
		all = append(all, c.findings...)
	}
	return all
}

func (r *report) count(s severity) int { return count(r.all(), s) }

func count(findings []finding, s severity) (n int) {
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// inspect looks at each thing by itself, and then at all of them together.
func (f checkFlags) inspect(cmd *cobra.Command) *report {
	r, all := &report{}, together{flags: f}
	if f.config != "" {
		cfg, err := broker.LoadConfig(f.config)
		r.add(f.config, refused(f.config, err)...)
		all.broker, all.brokerGood = cfg, err == nil
		if err == nil {
			r.add(f.config, machine(f.config, cfg)...)
		}
		f.services, f.policy = or(f.services, shown(cfg.Services)), or(f.policy, shown(cfg.Policy))
	}
	if f.sidecar != "" {
		cfg, err := sidecar.Load(f.sidecar)
		r.add(f.sidecar, refused(f.sidecar, err)...)
		all.sidecar, all.sidecarGood = cfg, err == nil
	}
	f.inspectGateway(cmd.Context(), r, &all)
	all.services, all.policy = f.services, f.policy
	all.load(r)
	all.compare(cmd.Context(), r)
	return r
}

func (f *checkFlags) inspectGateway(ctx context.Context, r *report, all *together) {
	if f.gateway == "" {
		return
	}
	cfg, err := gateway.LoadConfig(f.gateway)
	r.add(f.gateway, refused(f.gateway, err)...)
	if all.gateway, all.gatewayGood = cfg, err == nil; err == nil {
		r.add(f.gateway, machineOfGateway(ctx, f.gateway, cfg)...)
	}
	f.services = or(f.services, shown(cfg.Services))
	if dir, own := cfg.PolicyDir(); own {
		f.policy = or(f.policy, shown(dir))
	}
}

func or(flag, file string) string {
	if flag != "" {
		return flag
	}
	return file
}

// load reads what stands in directories.
func (t *together) load(r *report) {
	if t.services != "" {
		catalog, err := service.Load(t.services)
		r.add(t.services, refused(t.services, err)...)
		if err == nil {
			t.catalog = catalog
			for _, s := range service.Check(catalog) {
				r.add(t.services, fromService(s))
			}
		}
	}
	if t.policy == "" {
		return
	}
	draft, err := policy.Examine(t.policy)
	r.add(t.policy, refused(filepath.Clean(t.policy), err)...)
	t.draft = draft // what one rule lacks hides nothing of the others
	for _, p := range draft.Findings() {
		r.add(t.policy, fromPolicy(t.policy, p))
	}
	t.snapshot = draft.Whole()
}
