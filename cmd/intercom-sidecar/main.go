// Command intercom-sidecar is the small process beside each service: the service calls others by name,
// and holds no credential of any of them.
package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
	"github.com/intercom-broker/intercom/sidecar"
)

func main() { os.Exit(cli.Daemon(root())) }

const example = `  intercom-sidecar --config /etc/intercom/sidecar.yaml

  # beside it, in place of the application:
  curl http://127.0.0.1:4140/inventory/items
  http_proxy=http://127.0.0.1:4140 curl http://inventory/items
  curl -H 'Intercom-Request: 1' 'http://127.0.0.1:4140/v1/token?audience=inventory'
  curl http://127.0.0.1:4141/readyz`

func root() *cobra.Command {
	var file, listen, admin string
	c := &cobra.Command{
		Use: "intercom-sidecar --config FILE", Short: "The small process beside each service: calls by name, no credentials held", Args: cobra.NoArgs,
		Example: example,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := sidecar.Load(file)
			if err != nil {
				return cli.Hint(err, "intercom check --sidecar %s", file)
			}
			cfg.Listen.Address = cmp.Or(listen, cfg.Listen.Address)
			cfg.Admin = cmp.Or(admin, cfg.Admin)
			s, err := sidecar.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return s.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	c.Flags().StringVar(&listen, "listen", "", "the application's door, host:port on loopback; instead of the file's")
	c.Flags().StringVar(&admin, "admin", "", "health and metrics, host:port on loopback; instead of the file's")
	_ = c.MarkFlagRequired("config")
	return c
}
