package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/telemetry"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

// checked is one thing that `intercom check` looks at.
type checked struct {
	name  string
	check func() (warnings []string, err error)
}

func checkCommand() *cobra.Command {
	var brokerFile, sidecarFile, services, policyDir string
	c := &cobra.Command{
		Use: "check", Short: "Validate the configuration, the service files and the policy, without starting anything", Args: cobra.NoArgs,
		Example: "  intercom check --config broker.yaml\n  intercom check --services services --policy policy",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []checked
			if brokerFile != "" {
				all = append(all, checkBroker(brokerFile)...)
			}
			if sidecarFile != "" {
				all = append(all, checked{sidecarFile, func() ([]string, error) { _, err := sidecar.Load(sidecarFile); return nil, err }})
			}
			if services != "" {
				all = append(all, checkServices(services))
			}
			if policyDir != "" {
				all = append(all, checkPolicy(policyDir))
			}
			if len(all) == 0 {
				return cli.Usagef("want --config, --sidecar, --services or --policy")
			}
			return printChecked(cmd.OutOrStdout(), all)
		},
	}
	c.Flags().StringVar(&brokerFile, "config", "", "the broker's file; its policy and service files are checked too")
	c.Flags().StringVar(&sidecarFile, "sidecar", "", "a sidecar's file")
	c.Flags().StringVar(&services, "services", "", "a directory of service files")
	c.Flags().StringVar(&policyDir, "policy", "", "a policy's directory")
	return c
}

func checkBroker(file string) []checked {
	cfg, err := broker.LoadConfig(file)
	all := []checked{{file, func() ([]string, error) { return warnings(cfg), err }}}
	if cfg.Services != "" {
		all = append(all, checkServices(cfg.Services))
	}
	if cfg.Policy != "" {
		all = append(all, checkPolicy(cfg.Policy))
	}
	return all
}

// warnings are about what the file alone cannot decide: flags, and files of the machine that it is for.
func warnings(cfg broker.Config) (found []string) {
	warn := func(key string, err error) {
		if err != nil {
			found = append(found, key+": "+err.Error())
		}
	}
	if cfg.Listen.Admin != "" {
		if err := telemetry.CheckLoopback(cfg.Listen.Admin); err != nil {
			warn("listen.admin", fmt.Errorf("%w; the broker wants --unsafe-admin-anywhere for it", err))
		}
	}
	if web := cfg.Listen.Web; web.Cert != "" && web.Key != "" {
		_, err := tls.LoadX509KeyPair(web.Cert, web.Key)
		warn("listen.web", err)
	}
	if s := cfg.Store.Sealed; s != nil {
		_, err := sealed.ReadKey(s.Key.String())
		warn("store.sealed.key", err)
	}
	return found
}

func checkServices(dir string) checked {
	return checked{dir, func() (warnings []string, err error) {
		catalog, err := service.Load(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range service.Check(catalog) {
			warnings = append(warnings, f.String())
		}
		return warnings, nil
	}}
}

func checkPolicy(dir string) checked {
	return checked{dir, func() ([]string, error) {
		snapshot, err := policy.Load(dir)
		if err != nil {
			return nil, err
		}
		return snapshot.Warnings(), nil
	}}
}

func printChecked(w io.Writer, all []checked) error {
	paint, failed := cli.PaintFor(w), false
	for _, c := range all {
		warnings, err := c.check()
		if err != nil {
			failed = true
			fmt.Fprintf(w, "%s %s\n%s\n", paint.Bad("FAIL"), c.name, indent(err.Error()))
			continue
		}
		fmt.Fprintf(w, "%s %s\n", paint.Good("ok  "), c.name)
		for _, warning := range warnings {
			fmt.Fprintf(w, "     %s %s\n", paint.Warn("warning:"), warning)
		}
	}
	if failed {
		return cli.Silent
	}
	return nil
}

func indent(s string) string { return "     " + strings.ReplaceAll(s, "\n", "\n     ") }

// schemas are the files that editors may ask a schema for.
var schemas = map[string]func() any{
	"broker":   func() any { return broker.Config{} },
	"services": service.Document,
	"sidecar":  func() any { return sidecar.Config{} },
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema broker|services|sidecar", Short: "Print the JSON schema of a file, for editors", Args: cobra.ExactArgs(1),
		Example: "  intercom schema services > services.schema.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, ok := schemas[args[0]]
			if !ok {
				known := []string{"broker", "services", "sidecar"}
				err := cli.Usagef("no file is called %q", args[0])
				if near := strict.Suggest(args[0], known); near != "" {
					err = errors.Join(err, fmt.Errorf("did you mean %q", near))
				}
				return err
			}
			out, err := strict.Schema(of(), "https://intercom-broker.github.io/schema/"+args[0]+".json")
			if err == nil {
				_, err = cmd.OutOrStdout().Write(slices.Concat(out, []byte("\n")))
			}
			return err
		},
	}
}
