// Command intercom is the operator's tool: it runs the credential broker on loopback for a first look,
// checks configuration, tests and explains policy, keeps sealed credentials and reads the audit log.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(root())) }

const long = `Intercom is a service-to-service credential broker. A workload proves who it is
with its SPIFFE SVID, policy decides whether it may, and the credential of the
service that it calls is put into the call on its way.`

const example = `  intercom dev
  intercom dev --check
  intercom check --config deploy/sample/broker.yaml
  intercom policy explain --policy policies --as spiffe://intercom.test/orders --action call --on service/crm/DELETE/customers/7
  intercom token decode token.jwt`

func root() *cobra.Command {
	c := &cobra.Command{
		Use: "intercom", Short: "Services reach each other without holding each other's credentials",
		Long: long, Example: example,
	}
	return cli.Group(c, devCommand(), checkCommand(), doctorCommand(), schemaCommand(), policyCommand(), tokenCommand(), credentialCommand(), auditCommand(), sessionsCommand())
}

// group returns a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	return cli.Group(&cobra.Command{Use: use, Short: short}, commands...)
}
