// Package brokertest runs a whole broker in a test: an embedded trust domain, the broker with a sealed
// store, and clients that have an SVID. It is the real assembly; only the identities come from a loopback
// authority instead of SPIRE.
package brokertest

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Options say what a broker is started with.
type Options struct {
	// Policy is the rules, as CSV lines.
	Policy string
	// Services is the service file.
	Services string
	// Credentials are written into the sealed store before the start.
	Credentials map[credential.Name]credential.Fields
	// Sync is audit.sync; empty means interval.
	Sync string
	// InFlight is limits.in_flight; zero means its default.
	InFlight int
	// SVIDLife is how long SVIDs live; zero means an hour.
	SVIDLife time.Duration
	// Now is the trust domain's clock; nil means time.Now.
	Now func() time.Time
	// Change may change the configuration last; nil means that it stays.
	Change func(*broker.Config)
	// Log is where the broker logs; nil means nowhere.
	Log io.Writer
}

// Broker is a running broker.
type Broker struct {
	broker.Addresses
	// Domain is the trust domain, intercom.test. The broker is its /broker.
	Domain *embedded.Domain
	// Issuer is the web door's URL.
	Issuer string
	// Dir has policy/, services/, audit/ and the sealed store.
	Dir string
	// Store is the same sealed file that the broker reads.
	Store *sealed.Store
	// Stop asks the broker to end, as a SIGTERM does; the end of the test waits for it.
	Stop context.CancelFunc
}

// Start starts a broker that ends with the test.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	// Not t.TempDir: the path of a Unix socket has 107 bytes, and the names of tests are long.
	dir, err := os.MkdirTemp("", "ib-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &Broker{Dir: dir, Issuer: "http://" + freeAddress(t)}
	b.Domain, err = embedded.New(embedded.Config{SVIDLife: o.SVIDLife, Now: o.Now})
	must(t, err)
	b.write(t, "policy/policy.csv", o.Policy)
	b.write(t, "services/services.yaml", o.Services)
	b.seal(t, o.Credentials)
	b.run(t, o)
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	at, err := freeport.Address()
	must(t, err)
	return at
}

// write writes a file below Dir.
func (b *Broker) write(t testing.TB, name, content string) {
	t.Helper()
	file := filepath.Join(b.Dir, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte(content), 0o600))
}

func (b *Broker) seal(t testing.TB, credentials map[credential.Name]credential.Fields) {
	t.Helper()
	key, err := sealed.CreateKey(filepath.Join(b.Dir, "key"))
	must(t, err)
	b.Store, err = sealed.Open(sealed.Config{Path: filepath.Join(b.Dir, "store"), Key: key})
	must(t, err)
	for name, fields := range credentials {
		_, err := b.Store.Write(t.Context(), name, fields)
		must(t, err)
	}
}

func (b *Broker) config(t testing.TB, o Options, socket string) broker.Config {
	t.Helper()
	issuer, err := url.Parse(b.Issuer)
	must(t, err)
	log := o.Log
	if log == nil {
		log = io.Discard
	}
	cfg := broker.Config{
		Version: 1, Issuer: strict.URL{URL: *issuer}, Identity: broker.Identity{Socket: socket},
		Listen: broker.Listen{Mesh: "127.0.0.1:0", Egress: "127.0.0.1:0", Admin: "127.0.0.1:0", Web: broker.Web{Address: issuer.Host}},
		Policy: filepath.Join(b.Dir, "policy"), Services: filepath.Join(b.Dir, "services"),
		Store: broker.Store{Sealed: &broker.Sealed{Path: filepath.Join(b.Dir, "store"), Key: strict.Ref{Scheme: "file", Name: filepath.Join(b.Dir, "key")}}},
		Audit: broker.Audit{Dir: filepath.Join(b.Dir, "audit"), Sync: o.Sync}, Limits: broker.Limits{InFlight: o.InFlight},
		Grace: strict.Duration(time.Second), LogOutput: log, Unsafe: broker.Unsafe{WebPlaintext: true, HTTPIssuer: true},
	}
	if o.Change != nil {
		o.Change(&cfg)
	}
	return cfg
}

func (b *Broker) run(t testing.TB, o Options) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	b.Stop = stop
	api, err := b.Domain.Listen(filepath.Join(b.Dir, "b.sock"), b.Domain.ID("/broker"))
	must(t, err)
	ended := make(chan error, 2)
	go func() { ended <- api.Run(ctx) }()
	running, err := broker.New(ctx, b.config(t, o, api.Address()))
	if err != nil {
		stop()
		t.Fatal(err)
	}
	b.Addresses = running.Addresses()
	go func() { ended <- running.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("the broker ended: %v", err)
			}
		}
	})
	b.ready(t)
}

// ready waits until all doors answer.
func (b *Broker) ready(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Admin+"/readyz", nil)
		must(t, err)
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatal("the broker is not ready within 30 s")
		case <-tick.C:
		}
	}
}

// Client returns a client that is the workload at path, such as "/orders".
func (b *Broker) Client(t testing.TB, path string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		Addresses: []string{b.Mesh}, EgressAddresses: []string{b.Egress}, Source: b.Domain.Source(b.Domain.ID(path)),
		Brokers: tlsconfig.AuthorizeID(b.Domain.ID("/broker")),
	})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ID returns the SPIFFE ID at path.
func (b *Broker) ID(path string) spiffeid.ID { return b.Domain.ID(path) }
