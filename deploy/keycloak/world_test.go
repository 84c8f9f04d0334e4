package keycloak_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

const policyCSV = `p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/files/**, allow
p, group:staff, call, service/lost/**, allow
p, group:staff, call, service/nowhere/**, allow
p, group:staff, exchange, audience/orders, allow
p, group:staff, exchange, audience/inventory, allow
p, spiffe://intercom.test/orders, exchange, audience/inventory, allow
p, spiffe://intercom.test/orders, introspect, audience/orders, allow
`

// world is gateways in front of a real Keycloak, in a realm of the test's own.
type world struct {
	*gatewaytest.World
	keycloak *stack.KeycloakServer
	realm    string
}

// newWorld starts two gateways on one Redis. change may change the realm before it is made.
func newWorld(t *testing.T, k *stack.KeycloakServer, realm string, change func(map[string]any)) *world {
	t.Helper()
	w := &world{keycloak: k, realm: realm}
	w.start(t, func(g *gatewaytest.World) gateway.Provider {
		w.make(t, g, change)
		g.Write(t, "client-secret", "s3cret")
		p := w.provider(t)
		p.Secret = strict.Ref{Scheme: "file", Name: g.Path("client-secret")}
		return p
	})
	return w
}

// provider is the realm as the sample of a gateway's file has it, to who has yet to say how he proves himself.
func (w *world) provider(t *testing.T) gateway.Provider {
	t.Helper()
	c := sample(t).Provider
	return gateway.Provider{
		Issuer: w.keycloak.Issuer(w.realm), ClientID: c.ClientID, CA: w.keycloak.CACert, Scopes: c.Scopes, Claims: c.Claims, Groups: c.Groups,
	}
}

// sample is the gateway's file that others copy together with the realm.
func sample(t *testing.T) gateway.Config {
	t.Helper()
	c, err := gateway.LoadConfig("../sample/gateway.yaml")
	must(t, err)
	return c
}

func (w *world) start(t *testing.T, provider func(*gatewaytest.World) gateway.Provider) {
	t.Helper()
	services := httptest.NewServer(http.HandlerFunc(gatewaytest.ServeClaims))
	t.Cleanup(services.Close)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Replicas: 2, Redis: stack.StartRedis(t, stack.RedisOptions{}), Authority: w.keycloak.Authority, Policy: policyCSV, Provider: provider,
		Services: fmt.Sprintf(`  orders: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  files: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  lost: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: lost } }, match: "/lost/**" }
  nowhere: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: nowhere } }, match: "/nowhere/**" }
  inventory: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none } }
`, services.URL),
	})
}

// make makes the realm of the file, with the names of here and two users.
func (w *world) make(t *testing.T, g *gatewaytest.World, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile("realm.json")
	must(t, err)
	var realm map[string]any
	named := strings.NewReplacer("https://icom.example.org", g.Origin(), "**replace**", "s3cret").Replace(string(text))
	must(t, json.Unmarshal([]byte(named), &realm))
	realm["realm"] = w.realm
	user := func(name string, groups ...string) map[string]any {
		return map[string]any{
			"username": name, "enabled": true, "email": name + "@example.test", "emailVerified": true, "firstName": name, "lastName": "Example",
			"groups": groups, "credentials": []map[string]any{{"type": "password", "value": name, "temporary": false}},
		}
	}
	realm["users"] = []any{user("alice", "/staff"), user("bob")}
	if change != nil {
		change(realm)
	}
	w.keycloak.MakeRealm(t, realm)
}

// person sits at a browser.
type person struct {
	*gatewaytest.Person

	t *testing.T
	w *world
}

func (w *world) person(t *testing.T) *person {
	t.Helper()
	return &person{w.World.Person(t), t, w}
}

// login types a name, which is the password too, into Keycloak's page.
func (p *person) login(name string) gatewaytest.Answer {
	p.t.Helper()
	return p.Submit(p.Navigate("/bff/login?return_to=/orders/1"), url.Values{"username": {name}, "password": {name}})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
