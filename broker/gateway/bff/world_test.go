package bff_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/policies"
)

const rules = `p, spiffe://a.test/gateway, call, service/**, allow
p, group:staff, call, service/orders/**, allow
p, spiffe://a.test/gateway, exchange, audience/*, allow
p, group:staff, exchange, audience/*, allow
p, group:staff, call, service/own/**, allow
p, group:staff, call, service/polled/**, allow
p, group:staff, call, service/traded/**, allow
p, group:staff, call, service/lost/**, allow
p, group:staff, call, service/admin/**, allow
p, group:staff, call, service/strong/**, allow
p, group:staff, call, service/scoped/**, allow
p, group:staff, call, service/held/**, allow
p, group:staff, call, service/orders/*/orders/secret, deny
p, group:staff, call, service/orders/*/orders/vault/, deny
`

// files are the services; UP is where the upstream is.
const files = `version: 1
owner: test
services:
  orders: { upstream: UP, token: { bind: none }, match: "/orders/**", pass: { cookies: [lang] } }
  polled: { upstream: UP, token: { bind: none }, match: "/orders/poll", pass: { passive: true } }
  own: { upstream: UP, token: { bind: none }, user: access_token, match: "/own/**" }
  traded: { upstream: UP, token: { bind: none }, user: { exchange: { audience: nextcloud } }, match: "/traded/**" }
  lost: { upstream: UP, token: { bind: none }, user: { exchange: { audience: elsewhere } }, match: "/lost/**" }
  nobody: { upstream: UP, token: { bind: none }, match: "/nobody/**" }
  admin: { upstream: UP, token: { bind: none }, match: "/admin/**", require: { groups: [admins] } }
  strong: { upstream: UP, token: { bind: none }, match: "/strong/**", require: { acr: [gold] } }
  scoped: { upstream: UP, token: { bind: none }, match: "/scoped/**", require: { scopes: [root] } }
  public: { upstream: UP, token: { bind: none }, match: { path: "/public/**", methods: [GET] }, require: { login: false } }
  page: { upstream: UP, token: { bind: none }, match: "/page/**", require: { login: false }, user: none }
  held: { upstream: UP, inject: { basic: { credential: crm/login } }, match: "/held/**" }
`

// world is the token handler with all that it stands on; only the broker is played.
type world struct {
	*bff.Handler
	idp   *providertest.Server
	mux   *http.ServeMux
	audit string
	drain chan struct{}

	mu      sync.Mutex
	arrived []*http.Request
	mints   []string
	refuse  error // what the broker says instead
	answer  http.HandlerFunc
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, change ...func(*openid.Config)) *world {
	t.Helper()
	cfg := openid.Config{
		Resources: []string{"nextcloud", "intercom", "elsewhere"},
		Clients:   []openid.Client{{ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{"https://icom.test/bff/callback"}, Audiences: []string{"nextcloud", "intercom"}}},
	}
	for _, f := range change {
		f(&cfg)
	}
	w := &world{mux: http.NewServeMux(), drain: make(chan struct{}), audit: filepath.Join(t.TempDir(), "audit")}
	w.idp = providertest.New(t, cfg)
	p, err := provider.Open(t.Context(), provider.Config{
		Issuer: w.idp.Issuer(), ClientID: "gateway", Scopes: []string{"profile", "groups"}, RootCAs: w.idp.RootCAs(),
		Auth: provider.Auth{Secret: func(context.Context) (secret.Value, error) { return secret.FromString("s3cret"), nil }},
	})
	must(t, err)
	pages, err := page.New(nil)
	must(t, err)
	sessions := session.New(session.Config{Store: session.NewMemory(nil)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sessions.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	origins := route.Origins{{URL: "https://icom.test", CORS: []string{"https://app.test"}, Frames: []string{"https://portal.test"}, Home: "/portal/"}, {URL: "https://app.test"}}
	minter := &bff.Minter{Mint: w.mint}
	w.Handler = &bff.Handler{
		Origins: origins, Table: w.table(t, origins), Sessions: sessions, Provider: p, Pages: pages, Proxy: upstream.NewProxy(upstream.New(upstream.Config{})),
		Point: w.point(t), Minter: func() *bff.Minter { return minter }, BrokerAudience: "intercom", Inject: played{w}, Cookie: login.Cookie, Forget: login.Forget, Draining: w.drain,
		Self: func() identity.Workload {
			return identity.Workload{ID: spiffeid.RequireFromString("spiffe://a.test/gateway"), Proof: identity.ByX509SVID, NotAfter: time.Now().Add(time.Hour)}
		},
	}
	(&login.Handler{Provider: p, Sessions: sessions, Store: login.NewMemory(nil), Pages: pages, Claims: []string{"name"}, Origins: origins}).Mount(w.mux)
	w.Mount(w.mux)
	w.mux.Handle("/", w.Handler)
	return w
}

func (w *world) table(t testing.TB, origins route.Origins) func() *route.Table {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(w.arrive))
	t.Cleanup(up.Close)
	place := fmt.Sprintf("{ url: %q, dial: [127.0.0.0/8] }", up.URL)
	c, err := service.Parse(map[string][]byte{"t.yaml": []byte(strings.ReplaceAll(files, "UP", place))})
	must(t, err)
	table, err := route.New(c, origins.Hosts())
	must(t, err)
	return func() *route.Table { return table }
}

func (w *world) point(t testing.TB) *pep.Point {
	t.Helper()
	s, err := policy.LoadFS(fstest.MapFS{"model.conf": {Data: []byte(policies.Model())}, "p.csv": {Data: []byte(rules)}})
	must(t, err)
	log, err := audit.Open(audit.Config{Dir: w.audit, Reserve: -1})
	must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	return &pep.Point{Decider: s, Recorder: log}
}

// mint plays the broker: the token says for whom it is.
func (w *world) mint(_ context.Context, audience string, subject secret.Value) (secret.Value, time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return secret.Value{}, time.Time{}, w.refuse
	}
	w.mints = append(w.mints, string(subject.Reveal()))
	return secret.FromString(fmt.Sprintf("minted for %s %d %x", audience, len(w.mints), sha256.Sum256(subject.Reveal()))[:60]), time.Now().Add(5 * time.Minute), nil
}

// played is the egress door of the broker.
type played struct{ w *world }

func (p played) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	rec.Header().Set("Through", r.URL.Scheme+"://"+r.URL.Host)
	p.w.arrive(rec, r)
	res := rec.Result()
	res.Request = r
	return res, nil
}

// arrive is the services.
func (w *world) arrive(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	copied := r.Clone(context.Background())
	copied.Body = io.NopCloser(strings.NewReader(string(body)))
	w.mu.Lock()
	w.arrived = append(w.arrived, copied)
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		answer(rw, r)
		return
	}
	rw.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = io.WriteString(rw, "served "+r.URL.Path)
}

func (w *world) answers(f http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// last is what arrived last, of n in all.
func (w *world) last(t testing.TB, n int) *http.Request {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.arrived) != n {
		t.Fatalf("%d requests arrived, want %d", len(w.arrived), n)
	}
	return w.arrived[n-1]
}

// tab is a browser.
type tab struct {
	*providertest.Tab
	t testing.TB
	w *world
}

func (w *world) tab(t testing.TB) *tab { return &tab{w.idp.Tab(t, w.mux, "icom.test"), t, w} }

// alice is a tab in which alice has logged in.
func (w *world) alice(t testing.TB) *tab { return w.tab(t).logIn("alice") }

func (b *tab) logIn(name string) *tab {
	b.t.Helper()
	begun := b.Do(http.MethodGet, "/bff/login", "", providertest.Navigate()...)
	back := b.Do(http.MethodGet, "/bff/callback?"+b.Login(begun.Header.Get("Location"), name).Encode(), "", providertest.Navigate()...)
	if back.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("callback: %d", back.StatusCode)
	}
	return b
}

// answer is what came back.
type answer struct {
	*http.Response
	text string
}

func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(a.text), &p)
	return p.Code
}

func read(t testing.TB, res *http.Response) answer {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return answer{res, string(text)}
}

// fetch is what a page of ours does.
func (b *tab) fetch(method, target string, headers ...string) answer {
	b.t.Helper()
	return read(b.t, b.Do(method, target, "", append(providertest.Fetch("https://icom.test"), headers...)...))
}

func (b *tab) navigate(target string, headers ...string) answer {
	b.t.Helper()
	return read(b.t, b.Do(http.MethodGet, target, "", append(providertest.Navigate(), headers...)...))
}

// state is what the page learns of its session.
func (b *tab) state() (s struct {
	Authenticated bool   `json:"authenticated"`
	Reason        string `json:"reason"`
	Sub           string `json:"sub"`
	CSRF          string `json:"csrf_token"`
	Expires       int64  `json:"expires_in"`
	Idle          int64  `json:"idle_expires_in"`
	LogoutURL     string `json:"logout_url"`
	Claims        map[string]any
}) {
	b.t.Helper()
	res := b.fetch(http.MethodGet, "/bff/session")
	if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
		b.t.Fatalf("session: %d %q", res.StatusCode, res.Header.Get("Cache-Control"))
	}
	must(b.t, json.Unmarshal([]byte(res.text), &s))
	return s
}

// id is the session's.
func (b *tab) id() session.ID {
	b.t.Helper()
	id, ok := session.ParseID(b.Cookies["__Host-Http-ic"].Value)
	if !ok {
		b.t.Fatal("no id")
	}
	return id
}

// session is what the gateway has of it.
func (b *tab) session() session.Session {
	b.t.Helper()
	s, err := b.w.Sessions.Get(b.t.Context(), b.id())
	must(b.t, err)
	return s
}
