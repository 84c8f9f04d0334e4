// Command intercom-sidecar is the small process beside each service: the service calls others by name,
// and holds no credential of any of them.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

func main() { os.Exit(cli.Main(root())) }

func root() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "intercom-sidecar --config FILE", Short: "The small process beside each service: calls by name, no credentials held", Args: cobra.NoArgs,
		Example: "  intercom-sidecar --config /etc/intercom/sidecar.yaml\n  curl http://127.0.0.1:4140/inventory/items",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := sidecar.Load(file)
			if err != nil {
				return cli.Hint(err, "intercom check --sidecar %s", file)
			}
			s, err := sidecar.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	_ = c.MarkFlagRequired("config")
	return c
}
