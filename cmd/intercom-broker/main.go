// Command intercom-broker is the credential broker: identities in, credentials and tokens out.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func main() { os.Exit(cli.Daemon(root())) }

func root() *cobra.Command {
	var file string
	var unsafe broker.Unsafe
	c := &cobra.Command{
		Use: "intercom-broker --config FILE", Short: "The credential broker: identities in, credentials and tokens out", Args: cobra.NoArgs,
		Example: "  intercom-broker --config /etc/intercom/broker.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := broker.LoadConfig(file)
			if err != nil {
				return cli.Hint(err, "intercom check --config %s", file)
			}
			cfg.Unsafe = unsafe
			b, err := broker.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return b.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	_ = c.MarkFlagRequired("config")
	c.Flags().BoolVar(&unsafe.WebPlaintext, "unsafe-web-plaintext", false,
		"serve the web door without TLS, for where TLS ends before us; headers that carry a certificate are never believed")
	c.Flags().BoolVar(&unsafe.AdminAnywhere, "unsafe-admin-anywhere", false,
		"let the admin listener leave loopback; it shows profiles and metrics to whoever reaches it")
	return c
}
