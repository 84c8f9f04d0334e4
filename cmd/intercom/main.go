// Command intercom is the operator's tool: it runs the credential broker on loopback for a first look,
// checks configuration, tests and explains policy, keeps sealed credentials and reads the audit log.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(root())) }

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "intercom",
		Short: "Services reach each other without holding each other's credentials",
		Long: `Intercom is a service-to-service credential broker. A workload proves who it is
with its SPIFFE SVID, policy decides whether it may, and the credential of the
service that it calls is put into the call on its way.`,
		Example: `  intercom dev                        everything in one process, to try
  intercom dev --check                the same, walked through by itself
  intercom check --config broker.yaml
  intercom policy explain --policy policies --as spiffe://intercom.test/orders --action call --on service/crm/DELETE/customers/7`,
	}
	c.AddCommand(devCommand(), checkCommand(), schemaCommand(), policyCommand(), credentialCommand(), auditCommand())
	return c
}

// group returns a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := cmd.Help(); err != nil {
			return err
		}
		return cli.Usagef("%s wants a command", cmd.CommandPath())
	}}
	c.AddCommand(commands...)
	return c
}
