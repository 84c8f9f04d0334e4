package proxies_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

const (
	host = "app." + stack.TestDomain
	// client is where browsers are, and where proxies connect from is 127.0.0.1: the only one that gateways trust.
	client = "127.0.0.2"
)

const policyCSV = `p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/orders/*/orders/secret/**, deny
p, group:staff, exchange, audience/orders, allow
p, group:staff, call, service/wiki/**, allow
p, group:staff, call, service/wiki/*/wiki/secret/**, deny
`

// world is gateways, what they stand on, and what is behind them. Proxies are the tests' affair.
type world struct {
	*gatewaytest.World
	redis  *stack.RedisServer
	orders *service
	// wiki is an application that the gateways do not proxy.
	wiki *service
}

// newWorld starts as many gateways on one Redis.
func newWorld(t *testing.T, replicas int, change func(*gateway.Config)) *world {
	t.Helper()
	w := &world{redis: stack.StartRedis(t, stack.RedisOptions{}), orders: newService(t), wiki: newService(t)}
	ports := stack.FreePorts(t, replicas)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Replicas: replicas, Redis: w.redis, Provider: func(g *gatewaytest.World) gateway.Provider { return g.Ours(t, nil) }, Policy: policyCSV,
		Services: fmt.Sprintf(`  orders: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**", pass: { body_limit: 64MiB } }
  wiki: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/wiki/**" }
`, w.orders.URL),
		Change: func(c *gateway.Config) {
			c.TrustedProxies = []gateway.Network{{Prefix: netip.MustParsePrefix("127.0.0.1/32")}}
			if len(ports) > 0 {
				c.Listen.Address, ports = fmt.Sprintf("127.0.0.1:%d", ports[0]), ports[1:]
			}
			if change != nil {
				change(c)
			}
		},
	})
	return w
}

// sample is one of the files here, with the names of this world: what others copy is what runs.
func (w *world) sample(t *testing.T, file string, gateways [2]string, ports []int) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return strings.NewReplacer(
		"gateway-1.example.org:443", gateways[0], "gateway-2.example.org:443", gateways[1],
		"address: gateway-1.example.org, port_value: 443", hostPort(gateways[0]), "address: gateway-2.example.org, port_value: 443", hostPort(gateways[1]),
		"listen 443", fmt.Sprintf("listen 127.0.0.1:%d", ports[0]), "address: 0.0.0.0, port_value: 443", fmt.Sprintf("address: 127.0.0.1, port_value: %d", ports[0]),
		"port_value: 9901", fmt.Sprintf("port_value: %d", ports[1]),
		":443 {", fmt.Sprintf(":%d {", ports[0]), "https://icom.example.org {", fmt.Sprintf("https://%s:%d {", host, ports[0]),
		"tls /etc/caddy/icom.pem /etc/caddy/icom-key.pem", fmt.Sprintf("tls %s %s\n\tbind 127.0.0.1", w.Path("tls.pem"), w.Path("tls.key")),
		"127.0.0.1:2019", fmt.Sprintf("127.0.0.1:%d", ports[1]), "/etc/caddy/gateways-ca.pem", w.Authority.File,
		`domains: ["icom.example.org"]`, fmt.Sprintf("domains: [%q]", strings.TrimPrefix(w.Origin(), "https://")), "icom.example.org", host,
		"wiki.example.org:8080", strings.TrimPrefix(w.wiki.URL, "http://"),
		"/etc/nginx/icom.pem", w.Path("tls.pem"), "/etc/nginx/icom-key.pem", w.Path("tls.key"), "/etc/nginx/gateways-ca.pem", w.Authority.File,
		"/etc/envoy/icom.pem", w.Path("tls.pem"), "/etc/envoy/icom-key.pem", w.Path("tls.key"), "/etc/envoy/gateways-ca.pem", w.Authority.File,
		"/var/log/nginx/intercom.log", w.Path("nginx.log"),
	).Replace(string(text))
}

func hostPort(address string) string {
	host, port, _ := strings.Cut(address, ":")
	return "address: " + host + ", port_value: " + port
}

// gates are the first two gateways.
func (w *world) gates() [2]string { return [2]string{w.Gateways[0].Front, w.Gateways[1].Front} }

func (w *world) nginx(t *testing.T, file string) *stack.ProxyServer {
	t.Helper()
	return stack.StartNginx(t, 2, func(ports []int) string { return w.sample(t, file, w.gates(), ports) })
}

func (w *world) envoy(t *testing.T) *stack.ProxyServer {
	t.Helper()
	return stack.StartEnvoy(t, 2, func(ports []int) string { return w.sample(t, "envoy.yaml", w.gates(), ports) })
}

func (w *world) caddy(t *testing.T) *stack.ProxyServer {
	t.Helper()
	return stack.StartCaddy(t, 2, func(ports []int) string { return w.sample(t, "Caddyfile", w.gates(), ports) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
