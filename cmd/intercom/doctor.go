package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

// doctorFlags say what is looked at, and how it is told.
type doctorFlags struct {
	config, gateway, userToken string
	json                       bool
}

const doctorLong = `Look at a running deployment with its own files, and name the setting to change. It runs
where the process does that a file is for: as the same user, with the same Workload API and
the same network; else it is told what that one would not be.

First the files are checked as intercom check does. Then: who we are, and for how long; whether
the brokers, the provider, Redis, Vault and the services answer, prove who they are, and let us
do what we need, and nothing dangerous; whether the provider knows our client, our callbacks and
each audience; whether cookies arrive; whether clocks agree.

Nothing that lasts is changed. A login with a code that nobody was given, a key in Redis for five
seconds and a login to Vault that is given back are tried; no session is ended. What cannot be seen
from here is said to be unseen.

Exit codes: 0 when nothing fails (warnings and skipped checks do not), 1 when something does, 2
when the command line is wrong.`

const doctorExample = `  intercom doctor --gateway gateway.yaml
  intercom doctor --gateway gateway.yaml --config broker.yaml --json
  intercom doctor --gateway gateway.yaml --user-token token-of-a-test-user`

func doctorCommand() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor", Short: "Look at a deployment from within, and name the setting to change",
		Long: doctorLong, Example: doctorExample, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.config == "" && f.gateway == "" {
				return cli.Usagef("want --gateway, --config or both")
			}
			o, err := f.options(cmd.InOrStdin())
			if err != nil {
				return err
			}
			rows := append(f.files(cmd), doctor.Examine(cmd.Context(), o)...)
			if err := f.print(cmd.OutOrStdout(), rows); err != nil {
				return err
			}
			if doctor.Count(rows, doctor.Fail) > 0 {
				return cli.Silent
			}
			return nil
		},
	}
	c.Flags().StringVar(&f.config, "config", "", "the broker's file")
	c.Flags().StringVar(&f.config, "broker", "", "the same as --config")
	_ = c.Flags().MarkHidden("broker")
	c.MarkFlagsMutuallyExclusive("config", "broker")
	c.Flags().StringVar(&f.gateway, "gateway", "", "a gateway's file")
	c.Flags().StringVar(&f.userToken, "user-token", "", "a file with an access token of a test user, or -: token exchange is then really made, for each audience")
	c.Flags().BoolVar(&f.json, "json", false, "one JSON document for scripts")
	return c
}

func (f *doctorFlags) print(w io.Writer, rows []doctor.Row) error {
	if f.json {
		return printRowsJSON(w, rows)
	}
	return printRows(w, rows)
}

// options reads the files. What is wrong with one is told with the others' findings, and it is not looked at further.
func (f *doctorFlags) options(stdin io.Reader) (o doctor.Options, err error) {
	o.GatewayFile, o.BrokerFile = shown(f.gateway), shown(f.config)
	if f.gateway != "" {
		if cfg, err := gateway.LoadConfig(f.gateway); err == nil {
			o.Gateway = &cfg
		}
	}
	if f.config != "" {
		if cfg, err := broker.LoadConfig(f.config); err == nil {
			o.Broker = &cfg
		}
	}
	if f.userToken != "" {
		o.UserToken, err = readToken(f.userToken, stdin)
	}
	return o, err
}

// files is what intercom check says of the files. Notes are left to it.
func (f *doctorFlags) files(cmd *cobra.Command) (rows []doctor.Row) {
	c := checkFlags{config: f.config, gateway: f.gateway}
	report := c.inspect(cmd)
	for _, checked := range report.checked {
		bad := false
		for _, found := range checked.findings {
			if found.Severity == severityNote {
				continue
			}
			bad = true
			rows = append(rows, fromFinding(checked.name, found))
		}
		if !bad {
			rows = append(rows, doctor.Row{Of: checked.name, Check: "files", Status: doctor.OK, Seen: "nothing to say about it"})
		}
	}
	return rows
}

func fromFinding(of string, f finding) doctor.Row {
	row := doctor.Row{Of: of, Check: f.Rule, Status: doctor.Warn, Seen: f.Message, File: f.File, Line: f.Line, Cure: f.Cure}
	if f.Severity == severityError {
		row.Status = doctor.Fail
	}
	return row
}
