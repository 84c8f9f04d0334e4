// Command intercom-gateway is the browser-facing module: a browser logs in once and reaches every service.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func main() { os.Exit(cli.Daemon(root())) }

func root() *cobra.Command {
	var file string
	var unsafe gateway.Unsafe
	c := &cobra.Command{
		Use: "intercom-gateway --config FILE", Short: "The browser-facing module: one login, one cookie, every service", Args: cobra.NoArgs,
		Example: "  intercom-gateway --config /etc/intercom/gateway.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := gateway.LoadConfig(file)
			if err != nil {
				return cli.Hint(err, "intercom check --gateway %s", file)
			}
			cfg.Unsafe = unsafe
			g, err := gateway.New(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return g.Run(cmd.Context())
		},
	}
	c.Flags().StringVar(&file, "config", "", "the configuration file")
	_ = c.MarkFlagRequired("config")
	c.Flags().BoolVar(&unsafe.Plaintext, "unsafe-plaintext", false,
		"serve browsers without TLS, for where TLS ends before us; what ends it must be in trusted_proxies for its X-Forwarded-For to count")
	c.Flags().BoolVar(&unsafe.PlaintextUpstreams, "unsafe-plaintext-upstreams", false,
		"let browsers reach services over plain http, for where another layer encrypts; users' tokens travel along")
	c.Flags().BoolVar(&unsafe.AdminAnywhere, "unsafe-admin-anywhere", false,
		"let the admin listener leave loopback; it shows profiles and metrics to whoever reaches it")
	return c
}
