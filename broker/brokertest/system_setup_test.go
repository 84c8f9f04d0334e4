package brokertest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// planted is what crm wants. It is looked for everywhere at the end.
const (
	plantedUser     = "intercom-at-crm"
	plantedPassword = "pl4nted-Vault-passw0rd"
	plantedRotated  = "pl4nted-Vault-r0tated"
)

// svidLife makes SPIRE rotate every 25 seconds.
const svidLife = time.Minute

// system is everything that runs.
type system struct {
	dir   string
	bin   string
	spire *stack.SPIREServers
	a, b  *stack.Domain
	vault *stack.VaultServer
	kv    string // the mount

	pki     *pki
	brokers []*brokerProcess
	orders  *sidecarProcess // in a.test
	partner *sidecarProcess // in b.test
	traces  *collector

	inventory, crm, ledger string // addresses of the services
	seen                   *witness

	identity *svid.Source // of the test process itself, spiffe://a.test/tester
	client   *client.Client
}

func newSystem(t *testing.T) *system {
	t.Helper()
	// Not t.TempDir: the path of a Unix socket has 107 bytes.
	dir, err := os.MkdirTemp("", "iw-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &system{dir: dir, bin: filepath.Join(dir, "bin"), seen: &witness{}}
	w.spire = stack.StartSPIRE(t, "a.test", "b.test")
	w.a, w.b = w.spire.Domain("a.test"), w.spire.Domain("b.test")
	w.vault = stack.StartVault(t, stack.VaultOptions{Persistent: true})
	w.build(t)
	w.register(t)
	w.pki = newPKI(t, dir)
	w.traces = newCollector(t)
	w.openIdentity(t)
	w.reserveWeb(t)
	w.startServices(t)
	w.writePolicy(t, basePolicy)
	w.startBrokers(t)
	w.prepareVault(t)
	w.brokersReady(t)
	w.startSidecars(t)
	w.openClient(t)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build builds the binaries as they ship, one copy per workload: SPIRE tells them apart by path.
func (w *system) build(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.bin+"/",
		"../../cmd/intercom", "../../cmd/intercom-broker", "../../cmd/intercom-sidecar").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range []string{"orders", "partner"} {
		must(t, os.Link(filepath.Join(w.bin, "intercom-sidecar"), filepath.Join(w.bin, name)))
	}
}

func (w *system) register(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	w.a.Entry(t, "spiffe://a.test/broker", stack.EntryOptions{Path: filepath.Join(w.bin, "intercom-broker"), TTL: svidLife, FederatesWith: []string{"b.test"}})
	w.a.Entry(t, "spiffe://a.test/orders", stack.EntryOptions{Path: filepath.Join(w.bin, "orders"), TTL: svidLife})
	w.b.Entry(t, "spiffe://b.test/partner", stack.EntryOptions{Path: filepath.Join(w.bin, "partner"), TTL: svidLife, FederatesWith: []string{"a.test"}})
	w.a.Entry(t, "spiffe://a.test/tester", stack.EntryOptions{Path: self, TTL: time.Hour, FederatesWith: []string{"b.test"}})
}

func (w *system) openIdentity(t *testing.T) {
	t.Helper()
	var err error
	w.identity, err = svid.Open(t.Context(), svid.Config{Socket: w.a.AgentSocket})
	must(t, err)
	t.Cleanup(func() { _ = w.identity.Close() })
}

// openClient opens a client of both brokers that is the test process itself.
func (w *system) openClient(t *testing.T) {
	t.Helper()
	var err error
	w.client, err = client.New(client.Config{
		Addresses: []string{w.brokers[0].mesh, w.brokers[1].mesh}, Source: w.identity,
		Brokers: tlsconfig.AuthorizeID(spiffeid.RequireFromString("spiffe://a.test/broker")),
	})
	must(t, err)
	t.Cleanup(func() { _ = w.client.Close() })
}

const basePolicy = `# The policy of the whole-system test.
p, spiffe://a.test/orders, exchange, audience/inventory, allow
p, spiffe://a.test/orders, exchange, audience/ledger, allow
p, spiffe://a.test/orders, call, service/crm/GET/**, allow
p, spiffe://a.test/orders, call, service/crm/DELETE/**, deny
p, spiffe://a.test/tester, exchange, audience/inventory, allow
p, spiffe://b.test/partner, exchange, audience/inventory, allow
`

func (w *system) writePolicy(t *testing.T, rules string) {
	t.Helper()
	w.write(t, "policy/policy.csv", rules)
}

// write replaces a file as an operator's tool would: whole.
func (w *system) write(t *testing.T, name, content string) {
	t.Helper()
	file := filepath.Join(w.dir, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file+".new~", []byte(content), 0o600))
	must(t, os.Rename(file+".new~", file))
}

func (w *system) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

// run runs the operator's tool and returns what it printed.
func (w *system) run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var buf bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(w.bin, "intercom"), args...)
	cmd.Stdout, cmd.Stderr = &buf, &buf
	err = cmd.Run()
	return buf.String(), err
}

func (w *system) showLogs(t *testing.T) {
	t.Helper()
	for _, p := range w.processes() {
		t.Log(p.LogTail(40))
	}
}

func (w *system) processes() (all []*stack.Process) {
	for _, b := range w.brokers {
		all = append(all, b.Process)
	}
	for _, s := range []*sidecarProcess{w.orders, w.partner} {
		if s != nil {
			all = append(all, s.Process)
		}
	}
	return all
}

// eventually asks until it is so, for as long as a loaded machine may take.
func eventually(t *testing.T, what string, is func() error) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute: %v", what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	at, err := freeport.Address()
	must(t, err)
	return at
}

// get asks a URL and returns status, body and headers.
func get(ctx context.Context, c *http.Client, method, url string, headers ...string) (int, string, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, "", nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(res.Body)
	return res.StatusCode, body.String(), res.Header, err
}

// wants asks and fails unless the status and a text in the body are as wanted.
func wants(t *testing.T, c *http.Client, status int, text, method, url string, headers ...string) http.Header {
	t.Helper()
	got, body, header, err := get(t.Context(), c, method, url, headers...)
	if err != nil || got != status || !strings.Contains(body, text) {
		t.Fatalf("%s %s: %d %q, %v; want %d and %q", method, url, got, body, err, status, text)
	}
	return header
}

// is returns an error unless the status is as wanted.
func is(ctx context.Context, c *http.Client, status int, url string) error {
	got, body, _, err := get(ctx, c, http.MethodGet, url)
	if err == nil && got != status {
		err = fmt.Errorf("%s: %d %s; want %d", url, got, body, status)
	}
	return err
}

// webClient trusts the test's own CA, as a stock HTTPS client would trust a public one.
func (w *system) webClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.pki.Pool()}}, Timeout: 30 * time.Second}
}
