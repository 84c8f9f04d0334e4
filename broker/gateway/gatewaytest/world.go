package gatewaytest

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// Options say what a world is made of. Provider is required, whatever else has a zero value that works: one gateway
// at https://app.intercom.test with sessions in memory.
type Options struct {
	// Hosts are the names of the origins; empty means app.intercom.test. All are on one port.
	Hosts []string
	// Replicas is how many gateways share the origins; zero means one. More than one need Redis.
	Replicas int
	// Redis keeps the sessions; nil keeps them in memory.
	Redis *stack.RedisServer
	// Authority vouches for the origins; nil means one of the test's own. A provider that calls us must trust it.
	Authority *stack.Authority
	// Provider is called once the origins are known, so that a client can be registered for them.
	Provider func(*World) gateway.Provider
	// Services is the service file: what stands below `services:`.
	Services string
	// Policy is the policy's CSV lines, besides those that let the gateway itself do what it does.
	Policy string
	// Credentials are in the broker's store.
	Credentials map[credential.Name]credential.Fields
	// Change may change a gateway's configuration last; nil means that it stays.
	Change func(*gateway.Config)
	// Log is where gateways log; nil means nowhere.
	Log io.Writer
	// Now is the trust domain's clock; nil means time.Now.
	Now func() time.Time
}

// World is gateways with what they stand on.
type World struct {
	// Origins are the origins' URLs, in the order of Options.Hosts.
	Origins []string
	// Broker is the credential broker. The gateways are its trust domain's /gateway.
	Broker *brokertest.Broker
	// Gateways are the running ones.
	Gateways []*Gateway
	// Front is what stands before them.
	Front *Front
	// Authority vouches for the origins.
	Authority *stack.Authority
	// IDP is the provider, if it is one of ours ([World.Ours]); else nil.
	IDP *providertest.Server
	// Dir has the audit logs, audit0 and so on, and whatever a test puts there.
	Dir string

	options Options
}

// selfPolicy lets the gateway read the policy, and do for users what they may.
const selfPolicy = `p, spiffe://intercom.test/gateway, admin, admin/policy, allow
p, spiffe://intercom.test/gateway, call, service/**, allow
p, spiffe://intercom.test/gateway, exchange, audience/*, allow
p, spiffe://intercom.test/gateway, vend, credential/gateway/**, allow
`

// Audience is what a provider calls the broker.
const Audience = "intercom"

// Start starts a world that ends with the test.
func Start(t testing.TB, o Options) *World {
	t.Helper()
	dir, err := os.MkdirTemp("", "gt-") // not t.TempDir: the path of a Unix socket has 107 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &World{Dir: dir, Authority: o.Authority, options: o, Front: newFront(t)}
	if w.Authority == nil {
		w.Authority = stack.NewAuthority(t)
	}
	hosts := o.Hosts
	if len(hosts) == 0 {
		hosts = []string{"app." + stack.TestDomain}
	}
	for _, host := range hosts {
		w.Origins = append(w.Origins, "https://"+host+":"+w.Front.port())
	}
	must(t, w.Authority.Issue(w.Path("tls.pem"), w.Path("tls.key"), hosts...))
	w.Write(t, "sealing", strings.Repeat("5a", 32))
	provider := o.Provider(w)
	w.Broker = brokertest.Start(t, brokertest.Options{
		Policy: selfPolicy + o.Policy, Services: "version: 1\nowner: test\nservices:\n" + o.Services, Credentials: o.Credentials,
		Change: trust(t, provider), Now: o.Now,
	})
	for range max(o.Replicas, 1) {
		w.Add(t, w.Config(t, provider))
	}
	return w
}

// trust lets the broker take the users' tokens.
func trust(t testing.TB, p gateway.Provider) func(*broker.Config) {
	issuer, err := url.Parse(p.Issuer)
	must(t, err)
	return func(c *broker.Config) {
		c.Issuers = []broker.OpenIDIssuer{{URL: strict.URL{URL: *issuer}, Audience: []string{Audience}, CA: p.CA}}
	}
}

// Origin is the first origin.
func (w *World) Origin() string { return w.Origins[0] }

// URLs is a path at each origin.
func (w *World) URLs(path string) (all []string) {
	for _, origin := range w.Origins {
		all = append(all, origin+path)
	}
	return all
}

// Path is a file below Dir.
func (w *World) Path(name string) string { return filepath.Join(w.Dir, name) }

// Write writes a file below Dir.
func (w *World) Write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.WriteFile(w.Path(name), []byte(content), 0o600))
}

// Config is the configuration of the next gateway.
func (w *World) Config(t testing.TB, provider gateway.Provider) gateway.Config {
	t.Helper()
	n := strconv.Itoa(len(w.Gateways))
	cfg := gateway.Config{
		Version: 1, Listen: gateway.Listen{Address: "127.0.0.1:0", Cert: w.Path("tls.pem"), Key: w.Path("tls.key"), Admin: "127.0.0.1:0"},
		Provider: provider, Sessions: gateway.Sessions{Memory: true}, Identity: gateway.Identity{Socket: w.socket(t, "g"+n+".sock")},
		Brokers: gateway.Brokers{
			ID: gateway.ID{ID: w.Broker.ID("/broker")}, Mesh: []string{w.Broker.Mesh}, Egress: []string{w.Broker.Egress}, Audience: Audience,
		},
		Services: filepath.Join(w.Broker.Dir, "services"), Policy: "broker", Audit: gateway.Audit{Dir: w.Path("audit" + n)},
		Grace: strict.Duration(5 * time.Second), LogOutput: cmp.Or[io.Writer](w.options.Log, io.Discard),
	}
	for _, origin := range w.Origins {
		cfg.Origins = append(cfg.Origins, gateway.Origin{URL: origin})
	}
	if r := w.options.Redis; r != nil {
		cfg.Sessions = gateway.Sessions{Redis: &kv.Config{Addresses: []string{r.Addr}}, Keys: []strict.Ref{{Scheme: "file", Name: w.Path("sealing")}}}
	}
	if w.options.Change != nil {
		w.options.Change(&cfg)
	}
	return cfg
}

// Transport is how a client reaches the origins, the provider if it is one of ours, and whoever else the authority vouches for.
func (w *World) Transport(t testing.TB) *http.Transport {
	roots := w.Authority.Pool()
	if w.IDP != nil {
		roots.AppendCertsFromPEM([]byte(w.IDP.Certificate()))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections) // before the gateways end, which wait a second for HTTP/2
	return transport
}

// to is a Transport that reaches the origins at that address.
func (w *World) to(t testing.TB, address string) *http.Transport {
	transport := w.Transport(t)
	transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
		if strings.HasSuffix(to, ":"+w.Front.port()) {
			to = address
		}
		var d net.Dialer
		return d.DialContext(ctx, network, to)
	}
	return transport
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
