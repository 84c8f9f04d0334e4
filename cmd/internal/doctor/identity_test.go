package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// socket serves a workload's SVID, and returns the address.
func socket(t *testing.T, d *embedded.Domain, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "id-") // not t.TempDir: the path of a Unix socket has 107 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	api, err := d.Listen(filepath.Join(dir, "w.sock"), d.ID(path))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return api.Address()
}

// TestIdentity lets the gateway be somebody whom the brokers do not want.
func TestIdentity(t *testing.T) {
	l := startLesser(t, nil)
	look := func(t *testing.T, change func(*doctor.Options)) []doctor.Row {
		t.Helper()
		c := l.Gateways[0].Config
		c.UpstreamCA = l.Authority.File
		o := doctor.Options{Gateway: &c, GatewayFile: "gateway.yaml", Timeout: patient}
		change(&o)
		return doctor.Examine(t.Context(), o)
	}
	t.Run("whom policy does not know", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Gateway.Identity.Socket = socket(t, l.Broker.Domain, "/stranger") })
		broken(t, rows, want{"policy", doctor.Fail, "do not let us have", "p, spiffe://intercom.test/stranger, admin, admin/policy, allow"}, always()...)
	})
	t.Run("of a trust domain that the brokers do not let in", func(t *testing.T) {
		other, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("other.test")})
		must(t, err)
		other.Federate(l.Broker.Domain)
		rows := look(t, func(o *doctor.Options) { o.Gateway.Identity.Socket = socket(t, other, "/gateway") })
		broken(t, rows, want{"brokers", doctor.Fail, l.Broker.Mesh + " it does not take our SVID", "identity.allow"}, append(always(), "policy")...)
	})
	t.Run("whose SVID is not renewed", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Now = func() time.Time { return time.Now().Add(50 * time.Minute) } })
		broken(t, rows, want{"identity", doctor.Warn, "was not renewed", "the agent's log"}, append(always(), "clock")...)
	})
	t.Run("of files, with a certificate of browsers'", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) {
			o.Gateway.Identity.Socket = ""
			o.Gateway.Identity.Cert, o.Gateway.Identity.Key = o.Gateway.Listen.Cert, o.Gateway.Listen.Key
			o.Gateway.Identity.Bundles = map[string]string{"intercom.test": l.Authority.File}
		})
		broken(t, rows, want{"identity", doctor.Fail, "", "is an SVID"}, always()...)
	})
	t.Run("whose certificate is to be replaced", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Now = func() time.Time { return time.Now().Add(20 * time.Hour) } })
		broken(t, rows, want{"certificate", doctor.Warn, "ends in", "replace it"}, append(always(), "clock", "identity")...)
		rows = look(t, func(o *doctor.Options) { o.Now = func() time.Time { return time.Now().Add(48 * time.Hour) } })
		broken(t, rows, want{"certificate", doctor.Fail, "it ended on", "replace it"}, append(always(), "clock", "identity")...)
	})
	t.Run("and a service in the clear", func(t *testing.T) {
		services := t.TempDir()
		write(t, filepath.Join(services, "team.yaml"), "version: 1\nowner: test\nservices:\n"+
			"  orders: { upstream: \"http://192.0.2.1\", token: { bind: none }, user: mint, match: /orders }\n")
		rows := look(t, func(o *doctor.Options) { o.Gateway.Services, o.Timeout = services, 5*time.Second })
		broken(t, rows, want{"upstream", doctor.Fail, "what belongs to a user travels in the clear", "https"}, append(always(), "token-exchange")...)
	})
	t.Run("with an authority that this machine does not know", func(t *testing.T) {
		rows := look(t, func(o *doctor.Options) { o.Gateway.UpstreamCA = stack.NewAuthority(t).File })
		broken(t, rows, want{"certificate", doctor.Warn, "nobody whom this machine knows", "intermediate"}, append(always(), "origin", "back-channel")...)
	})
}
