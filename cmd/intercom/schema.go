package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

// schemaBase is where editors find the schemas of the last release.
const schemaBase = "https://intercom-broker.github.io/schema/"

// schemaOf returns what a file is made of, and nil for a file that nobody knows.
func schemaOf(file string) any {
	switch file {
	case "broker":
		return broker.Config{}
	case "gateway":
		return gateway.Config{}
	case "services":
		return service.Document()
	case "sidecar":
		return sidecar.Config{}
	}
	return nil
}

const schemaLong = `Print the JSON schema (draft 2020-12) of a file. Editors that speak to
yaml-language-server take it by a first line in the file itself:

  # yaml-language-server: $schema=services.schema.json`

func schemaCommand() *cobra.Command {
	known := []string{"broker", "gateway", "services", "sidecar"}
	return &cobra.Command{
		Use: "schema " + strings.Join(known, "|"), Short: "Print the JSON schema of a file, for editors",
		Long: schemaLong, Example: "  intercom schema services > services.schema.json",
		Args: cobra.ExactArgs(1), ValidArgs: known,
		RunE: func(cmd *cobra.Command, args []string) error {
			of := schemaOf(args[0])
			if of == nil {
				err := cli.Usagef("no file is called %q: there are %s", args[0], strings.Join(known, ", "))
				if near := strict.Suggest(args[0], known); near != "" {
					return cli.Hint(err, "did you mean %q?", near)
				}
				return err
			}
			out, err := strict.Schema(of, schemaBase+args[0]+".json")
			if err == nil {
				_, err = cmd.OutOrStdout().Write(slices.Concat(out, []byte("\n")))
			}
			return err
		},
	}
}
