package egress_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

// The credentials that the tests plant. None of them may be seen by a caller.
const (
	password = "hunter2-correct-horse"
	apiToken = "tok_5e4f1c0d9b8a7766"
	basic    = "Basic Z2F0ZTpodW50ZXIyLWNvcnJlY3QtaG9yc2U=" // gate:password
)

// store is a credential store whose every read is live.
type store struct {
	mu       sync.Mutex
	fields   map[credential.Name]credential.Fields
	err      error
	deadline time.Time
}

func newStore() *store {
	return &store{fields: map[credential.Name]credential.Fields{
		"crm/login": {"username": secret.FromString("gate"), "password": secret.FromString(password)},
		"crm/token": {"token": secret.FromString(apiToken)},
	}}
}

func (s *store) Fetch(_ context.Context, name credential.Name, _ time.Duration) (credential.Served, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return credential.Served{}, s.err
	}
	fields, ok := s.fields[name]
	if !ok {
		return credential.Served{}, credential.Unknown(name)
	}
	return credential.Served{Credential: credential.Credential{Name: name, Version: 7, Fields: fields}, HardDeadline: s.deadline}, nil
}

// Doubt implements [egress.Vender]: there is nothing that could be outdated.
func (*store) Doubt(credential.Name) {}

// mint says in the token what it was asked for; all are different.
type mint struct {
	calls atomic.Int64
	life  time.Duration
	now   func() time.Time
	err   error
}

func (m *mint) Mint(_ context.Context, g *pep.Grant, audience string, scope []string, cnf string) (secret.Value, time.Time, error) {
	if m.err != nil {
		return secret.Value{}, time.Time{}, m.err
	}
	token := fmt.Sprintf("minted.%s.%s.%s.%d", audience, strings.Join(scope, "+"), cnf, m.calls.Add(1))
	return secret.FromString(token), m.now().Add(m.life), nil
}

// journal is an audit log that can be read back.
type journal struct {
	mu     sync.Mutex
	events []audit.Event
	err    error
}

func (j *journal) Record(_ context.Context, e audit.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.events = append(j.events, e)
	return nil
}

// outcome waits for the outcome of a decision, which is recorded after the answer.
func (j *journal) outcome(t *testing.T, decision string) audit.Event {
	t.Helper()
	var found audit.Event
	eventually(t, "an outcome of "+decision, func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, e := range j.events {
			if e.Decision == decision && e.Kind == audit.KindOutcome {
				found = e
			}
		}
		return found.Decision != ""
	})
	return found
}

// rules is a policy that can be changed.
type rules struct {
	mu       sync.Mutex
	snapshot *policy.Snapshot
	changed  chan struct{}
	hook     func()
}

func newRules(t testing.TB, lines ...string) *rules {
	r := &rules{changed: make(chan struct{})}
	r.set(t, lines...)
	return r
}

func (r *rules) set(t testing.TB, lines ...string) {
	t.Helper()
	s, err := policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte(strings.Join(lines, "\n") + "\n")}})
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshot = s
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *rules) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *rules) Decide(ctx context.Context, q policy.Request) (policy.Decision, error) {
	r.mu.Lock()
	s, hook := r.snapshot, r.hook
	r.mu.Unlock()
	d, err := s.Decide(ctx, q)
	if hook != nil {
		hook()
	}
	return d, err
}

const allowAll = "p, spiffe://intercom.test/orders, call, service/**, allow"

// door is an egress door over mTLS on a real listener.
type door struct {
	*egress.Handler
	addr    string
	domain  *embedded.Domain
	store   *store
	mint    *mint
	rules   *rules
	journal *journal
	catalog atomic.Pointer[service.Catalog]
	roots   *x509.CertPool
	seen    atomic.Int64 // how often the door asked for the next change
	stop    context.CancelFunc
}

// Changed counts, and is what the door is told of changes by.
func (d *door) Changed() <-chan struct{} {
	defer d.seen.Add(1)
	return d.rules.Changed()
}

var ordersID = spiffeid.RequireFromString("spiffe://intercom.test/orders")

var quiet = log.New(io.Discard, "", 0)

// newDoor opens a door to the services that the lines name. change may adjust the configuration.
func newDoor(t testing.TB, services string, change ...func(*egress.Config)) *door {
	t.Helper()
	domain, err := embedded.New(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := &door{domain: domain, store: newStore(), mint: &mint{life: time.Minute, now: time.Now}, rules: newRules(t, allowAll), journal: &journal{}, roots: x509.NewCertPool()}
	d.services(t, services)
	cfg := egress.Config{
		Point: &pep.Point{Decider: d.rules, Recorder: d.journal}, Services: d.catalog.Load,
		Vender: d.store, Minter: d.mint, Policy: d, RootCAs: d.roots,
	}
	for _, f := range change {
		f(&cfg)
	}
	if d.Handler, err = egress.New(cfg); err != nil {
		t.Fatal(err)
	}
	d.serve(t, d.Handler)
	return d
}

func (d *door) services(t testing.TB, lines string) {
	t.Helper()
	c, err := service.Parse(map[string][]byte{"t.yaml": []byte("version: 1\nowner: team\nservices:\n" + lines)})
	if err != nil {
		t.Fatal(err)
	}
	d.catalog.Store(c)
}

func (d *door) serve(t testing.TB, h http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	source := d.domain.Source(d.domain.ID("/broker"))
	cfg := mtls.Server(source, source, tlsconfig.AuthorizeAny(), "h2", "http/1.1")
	srv := &http.Server{Handler: authn.HTTP(h), MaxHeaderBytes: hygiene.MaxHead, ReadHeaderTimeout: time.Minute}
	ctx, cancel := context.WithCancel(context.Background())
	d.stop = cancel
	done := make(chan struct{}, 2)
	go func() {
		_ = mtls.ServeHTTP(ctx, l, hygiene.Listener(mtls.ListenHTTP(l, mtls.Config{TLS: cfg})), srv, time.Millisecond)
		done <- struct{}{}
	}()
	go func() {
		_ = d.Run(ctx)
		done <- struct{}{}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
}

// clientTLS is what the workload with that path shows.
func (d *door) clientTLS(path string, protos ...string) *tls.Config {
	source := d.domain.Source(d.domain.ID(path))
	return mtls.Client(source, source, tlsconfig.AuthorizeAny(), protos...)
}

// client calls the door as orders.
func (d *door) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	return d.clientOf(t, "/orders", proto)
}

func (d *door) clientOf(t testing.TB, path, proto string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig: d.clientTLS(path, proto), Protocols: new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { // also for hosts that name services
			return (&net.Dialer{}).DialContext(ctx, network, d.addr)
		},
	}
	transport.Protocols.SetHTTP1(proto == "http/1.1")
	transport.Protocols.SetHTTP2(proto == "h2")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// upstream starts a plain HTTP server that also speaks HTTP/2 with prior knowledge, and returns its URL and
// the flow form of a service's upstream that opens the guard for it.
func upstream(t testing.TB, h http.HandlerFunc) (url, flow string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, at(s.URL)
}

// secureUpstream is upstream with TLS, whose certificate the door trusts.
func (d *door) secureUpstream(t testing.TB, h http.HandlerFunc) (flow string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	d.roots.AddCert(s.Certificate())
	return at(s.URL)
}

// clientUpstream is secureUpstream that asks for a client certificate.
func (d *door) clientUpstream(t testing.TB, h http.HandlerFunc) (flow string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	d.roots.AddCert(s.Certificate())
	return at(s.URL)
}

// nothing is a service for doors that get theirs later.
const nothing = "  none: { upstream: \"https://none\", token: { bind: none } }\n"

func at(url string) string { return fmt.Sprintf("{ url: %q, dial: [127.0.0.0/8, \"::1/128\"] }", url) }

// crm is a service that wants Basic.
func crm(flow string) string {
	return "  crm:\n    upstream: " + flow + "\n    inject: { basic: { credential: crm/login } }\n"
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

// last waits for an outcome and returns the last one.
func (j *journal) last(t *testing.T) (last audit.Event) {
	t.Helper()
	eventually(t, "outcome for every decision", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		open := map[string]bool{}
		for _, e := range j.events {
			if e.Allow {
				open[e.Decision] = true
			}
			if e.Kind == audit.KindOutcome {
				delete(open, e.Decision)
				last = e
			}
		}
		return len(open) == 0
	})
	return last
}
