package runbooks_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestMain builds the operator's command, so that tests call it as the pages do, by its name. They wait more than they work,
// so more of them run at a time than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	if !testing.Short() {
		bin, err := os.MkdirTemp("", "rb-")
		if err == nil {
			defer os.RemoveAll(bin)
			err = build(bin)
		}
		if err != nil {
			panic(err)
		}
	}
	stack.Main(m)
}

func build(bin string) error {
	out, err := exec.Command("go", "build", "-o", bin+"/", "../../cmd/intercom").CombinedOutput() //nolint:noctx // it ends
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// file writes the first gateway's configuration as an operator would have it, and returns its path.
func (w *world) file(t *testing.T) string {
	t.Helper()
	c := w.Gateways[0].Config
	text := fmt.Sprintf(`version: 1
listen: { address: "127.0.0.1:0", cert: tls.pem, key: tls.key }
origins: [{ url: %q }]
provider: { issuer: %q, client_id: %q, ca: %q, secret: "file:client-secret" }
sessions: { redis: { addresses: [%q] }, keys: ["file:audit0.keys"] }
identity: { socket: %q }
brokers: { id: %q, mesh: [%q], egress: [%q], audience: intercom }
services: %q
policy: broker
audit: { dir: audit-operator }
`, w.Origin(), c.Provider.Issuer, c.Provider.ClientID, c.Provider.CA, c.Sessions.Redis.Addresses[0], c.Identity.Socket,
		c.Brokers.ID, c.Brokers.Mesh[0], c.Brokers.Egress[0], c.Services)
	w.Write(t, "gateway.yaml", strings.ReplaceAll(text, "file:", "file:"+w.Dir+"/"))
	return w.Path("gateway.yaml")
}

// intercom runs the operator's command, with the gateway's file in the place of FILE, and adds what it prints.
func (w *world) intercom(t *testing.T, s *seen, arguments string) string {
	t.Helper()
	args := strings.Fields(strings.ReplaceAll(arguments, "gateway.yaml", w.file(t)))
	out, err := exec.CommandContext(t.Context(), "intercom", args...).CombinedOutput()
	s.add("intercom", arguments+":", string(out), exit(err))
	return string(out)
}

func exit(err error) string {
	if err != nil {
		return err.Error()
	}
	return "exit status 0"
}
