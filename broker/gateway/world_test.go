package gateway_test

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	if os.Getenv(envCrowd) != "" {
		runCrowd()
		return
	}
	stack.ResolveNames()
	stack.Main(m)
}

// host is the origin's name, without its port.
const host = "app." + stack.TestDomain

const policyCSV = `p, spiffe://intercom.test/gateway, vend, credential/portal/api, allow
p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/items/**, allow
p, group:staff, exchange, audience/orders, allow
p, group:staff, call, service/portal/**, allow
`

// options say what a world is made of. The zero options are one gateway with sessions in memory.
type options struct {
	replicas int
	redis    *stack.RedisServer
	// provider may change both sides of how the gateways are its client.
	provider func(*gatewaytest.World, *openid.Config, *gateway.Provider)
	change   func(*gateway.Config)
	// orders is where the service is; empty is here.
	orders string
	// more is further services.
	more string
	// rules is further policy.
	rules string
}

// world is gateways before a provider of ours, and the services behind them.
type world struct {
	*gatewaytest.World
	services *services
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{services: newServices(t)}
	w.services.orders.URL = cmp.Or(o.orders, w.services.orders.URL)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Replicas: o.replicas, Redis: o.redis, Change: o.change, Policy: policyCSV + o.rules, Services: w.services.file() + o.more,
		Credentials: map[credential.Name]credential.Fields{
			"gateway/client": {"secret": secret.FromString("s3cret")}, "portal/api": {"password": secret.FromString("key-1")},
		},
		Provider: func(g *gatewaytest.World) gateway.Provider {
			return g.Ours(t, func(theirs *openid.Config, ours *gateway.Provider) {
				theirs.Clients[0].Audiences, ours.Claims = []string{gatewaytest.Audience, "items-api"}, []string{"name"}
				if o.provider != nil {
					o.provider(g, theirs, ours)
				}
			})
		},
	})
	return w
}

// config is that of one more gateway, which is as the first.
func (w *world) config(t testing.TB) gateway.Config {
	t.Helper()
	return w.Config(t, w.Gateways[0].Config.Provider)
}

// hostPort is the origin's.
func (w *world) hostPort() string { return strings.TrimPrefix(w.Origin(), "https://") }

// The broker's files, which the broker reads again and the gateways follow.
const (
	policyFile  = "policy/policy.csv"
	serviceFile = "services/services.yaml"
)

// edit puts one text in the place of another in one of the broker's files.
func (w *world) edit(t testing.TB, file, old, text string) {
	t.Helper()
	file = filepath.Join(w.Broker.Dir, file)
	before, err := os.ReadFile(file)
	must(t, err)
	if !strings.Contains(string(before), old) {
		t.Fatalf("%q is not in %s", old, file)
	}
	must(t, os.WriteFile(file+".new", []byte(strings.Replace(string(before), old, text, 1)), 0o600))
	must(t, os.Rename(file+".new", file))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
