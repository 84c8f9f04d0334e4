package gateway_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
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
	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	if os.Getenv(envCrowd) != "" {
		runCrowd()
		return
	}
	stack.Main(m)
}

const (
	host   = "icom.test"
	origin = "https://" + host
)

// policyCSV lets the gateway read the policy, and mint for users what they may call.
const policyCSV = `p, spiffe://intercom.test/gateway, admin, admin/policy, allow
p, spiffe://intercom.test/gateway, call, service/**, allow
p, spiffe://intercom.test/gateway, exchange, audience/*, allow
p, spiffe://intercom.test/gateway, vend, credential/gateway/client, allow
p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/items/**, allow
p, group:staff, exchange, audience/orders, allow
p, spiffe://intercom.test/gateway, vend, credential/portal/api, allow
p, group:staff, call, service/portal/**, allow
`

// options say what a world is made of. The zero options are one gateway with sessions in memory.
type options struct {
	replicas int
	redis    *stack.RedisServer
	provider openid.Config
	change   func(*gateway.Config)
	// orders is where the service is; empty is here.
	orders string
	// more is further services.
	more string
	// rules is further policy.
	rules string
}

// world is gateways with all that they stand on: a provider, a broker, a trust domain.
type world struct {
	idp      *providertest.Server
	broker   *brokertest.Broker
	services *services
	gateways []*running
	roots    *x509.CertPool
	ca       authority
	dir      string
}

// running is one gateway.
type running struct {
	gateway.Addresses
	stop  context.CancelFunc
	ended chan error
	cfg   gateway.Config
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "ig-") // not t.TempDir: the path of a Unix socket has 107 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{dir: dir, ca: newAuthority(t)}
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.ca.cert)
	w.write(t, "sealing", strings.Repeat("5a", 32))
	w.write(t, "client-secret", "s3cret\n")
	if o.provider.Clients == nil {
		o.provider.Clients = []openid.Client{{
			ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{origin + "/bff/callback"},
			PostLogoutRedirectURIs: []string{origin + "/bff/logout/return"}, BackchannelLogoutURI: origin + "/bff/backchannel-logout",
			Audiences: []string{"intercom", "items-api"},
		}}
	}
	o.provider.HTTP = &http.Client{Transport: w.transport(0)}
	w.idp = providertest.New(t, o.provider)
	w.write(t, "idp.pem", certificateOf(t, w.idp))
	w.services = newServices(t)
	w.services.orders.URL = cmp.Or(o.orders, w.services.orders.URL)
	w.broker = brokertest.Start(t, brokertest.Options{Policy: policyCSV + o.rules, Services: w.services.file() + o.more, Change: w.trustProvider(t),
		Credentials: map[credential.Name]credential.Fields{"gateway/client": {"secret": secret.FromString("s3cret")},
			"portal/api": {"password": secret.FromString("key-1")}}})
	w.ca.issue(t, dir, host)
	for i := range max(o.replicas, 1) {
		w.start(t, w.config(t, o, i))
	}
	return w
}

// trustProvider lets the broker verify the users' tokens.
func (w *world) trustProvider(t testing.TB) func(*broker.Config) {
	t.Helper()
	issuer, err := url.Parse(w.idp.Issuer())
	must(t, err)
	return func(c *broker.Config) {
		c.Issuers = []broker.OpenIDIssuer{{URL: strict.URL{URL: *issuer}, Audience: []string{"intercom"}, CA: w.path("idp.pem")}}
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.WriteFile(w.path(name), []byte(content), 0o600))
}

func (w *world) config(t testing.TB, o options, i int) gateway.Config {
	t.Helper()
	api, err := w.broker.Domain.Listen(w.path("g"+strconv.Itoa(i)+".sock"), w.broker.ID("/gateway"))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	cfg := gateway.Config{
		Version: 1, Listen: gateway.Listen{Address: "127.0.0.1:0", Cert: w.path("tls.pem"), Key: w.path("tls.key"), Admin: "127.0.0.1:0"},
		Origins: []gateway.Origin{{URL: origin}},
		Provider: gateway.Provider{
			Issuer: w.idp.Issuer(), ClientID: "gateway", CA: w.path("idp.pem"), Scopes: []string{"profile", "groups"}, Claims: []string{"name"},
			Secret: strict.Ref{Scheme: "file", Name: w.path("client-secret")},
		},
		Sessions: gateway.Sessions{Memory: true}, Identity: gateway.Identity{Socket: api.Address()},
		Brokers:  gateway.Brokers{ID: gateway.ID{ID: w.broker.ID("/broker")}, Mesh: []string{w.broker.Mesh}, Egress: []string{w.broker.Egress}, Audience: "intercom"},
		Services: filepath.Join(w.broker.Dir, "services"), Policy: "broker", Audit: gateway.Audit{Dir: w.path("audit" + strconv.Itoa(i))},
		Grace: strict.Duration(5 * time.Second), LogOutput: io.Discard,
	}
	if o.redis != nil {
		cfg.Sessions = gateway.Sessions{
			Redis: &kv.Config{Addresses: []string{o.redis.Addr}}, Keys: []strict.Ref{{Scheme: "file", Name: w.path("sealing")}},
		}
	}
	if o.change != nil {
		o.change(&cfg)
	}
	return cfg
}

// start runs a gateway, and waits until it is ready.
func (w *world) start(t testing.TB, cfg gateway.Config) *running {
	t.Helper()
	r := w.run(t, cfg)
	eventually(t, "the gateway is ready", func() bool { status, _ := r.readyz(t); return status == http.StatusOK })
	return r
}

func (w *world) run(t testing.TB, cfg gateway.Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	g, err := gateway.New(ctx, cfg)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	r := &running{Addresses: g.Addresses(), stop: stop, ended: make(chan error, 1), cfg: cfg}
	go func() { r.ended <- g.Run(ctx); close(r.ended) }()
	t.Cleanup(func() {
		stop()
		if err := <-r.ended; err != nil {
			t.Errorf("the gateway ended: %v", err)
		}
	})
	w.gateways = append(w.gateways, r)
	return r
}

func (r *running) readyz(t testing.TB) (int, string) {
	t.Helper()
	res, err := http.Get("http://" + r.Admin + "/readyz") //nolint:noctx // a test's
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(text)
}

// eventually polls until ok, for as long as a loaded machine needs.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	every(t, 10*time.Millisecond, what, ok)
}

// every is eventually for what costs something.
func every(t testing.TB, pause time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
		<-tick.C
	}
}

// transport reaches one of the gateways under the name of the origin, and everything else where it is.
func (w *world) transport(replica int) *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == host+":443" {
			address = w.gateways[replica].Front
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: w.roots}, ForceAttemptHTTP2: true}
}

// authority signs the certificate of the origin.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{cert, key}
}

// issue writes tls.pem and tls.key.
func (a authority) issue(t testing.TB, dir string, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{"tls.pem": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		must(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}

// certificateOf returns the provider's own certificate as PEM.
func certificateOf(t testing.TB, idp *providertest.Server) string {
	t.Helper()
	u, err := url.Parse(idp.Issuer())
	must(t, err)
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: idp.RootCAs()})
	must(t, err)
	defer conn.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}))
}
