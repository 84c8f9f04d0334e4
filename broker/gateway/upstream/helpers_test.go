package upstream_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/service"
)

// What the tests inject. No browser may set it, and none may see it.
const (
	basic  = "Basic Z2F0ZTpodW50ZXIyLWNvcnJlY3QtaG9yc2U="
	userID = "user-4711"
)

var quiet = log.New(io.Discard, "", 0)

// gate is the least that a gateway does around the proxy: hygiene, the route, the header. It stands on a real
// listener, and answers as package bff will: with problems.
type gate struct {
	addr   map[string]string // by protocol
	set    *upstream.Set
	proxy  *upstream.Proxy
	table  atomic.Pointer[route.Table]
	change func(*http.Request, *upstream.Call) // what a test wants otherwise

	mu       sync.Mutex
	outcomes []upstream.Outcome
}

var hosts = []string{"door.test", "crm"}

func newGate(t testing.TB, services string, change ...func(*upstream.Config)) *gate {
	t.Helper()
	cfg := upstream.Config{}
	for _, f := range change {
		f(&cfg)
	}
	g := &gate{set: upstream.New(cfg)}
	g.proxy = upstream.NewProxy(g.set)
	g.services(t, services)
	g.addr = map[string]string{"http/1.1": g.listen(t, false), "h2": g.listen(t, true)}
	t.Cleanup(func() { g.set.Follow(&service.Catalog{}) })
	return g
}

func (g *gate) listen(t testing.TB, http2 bool) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: g, MaxHeaderBytes: hygiene.MaxHead, ReadHeaderTimeout: time.Minute, Protocols: new(http.Protocols), ErrorLog: quiet}
	srv.Protocols.SetHTTP1(!http2)
	srv.Protocols.SetUnencryptedHTTP2(http2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(hygiene.Listener(l))
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return l.Addr().String()
}

// services is a reload.
func (g *gate) services(t testing.TB, lines string) {
	t.Helper()
	c := parse(t, lines)
	tab, err := route.New(c, hosts)
	if err != nil {
		t.Fatal(err)
	}
	g.table.Store(tab)
	g.set.Follow(c)
}

// parse has no t in a benchmark's child.
func parse(t testing.TB, lines string) *service.Catalog {
	c, err := service.Parse(map[string][]byte{"t.yaml": []byte("version: 1\nowner: team\nservices:\n" + lines)})
	if err != nil && t != nil {
		t.Fatal(err)
	}
	must(err)
	return c
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, err := hygiene.CheckRequest(r)
	if err != nil {
		outbound.AbandonBody(w, r)
		if errors.Is(err, hygiene.ErrMethod) {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		fault.WriteProblem(w, fault.New(fault.InvalidRequest, "REQUEST_REFUSED", err.Error()))
		return
	}
	to, others := g.table.Load().Find(r.Host, path, r.Method)
	if to == nil {
		w.Header().Set("Allow", strings.Join(others, ", "))
		w.WriteHeader(map[bool]int{true: http.StatusMethodNotAllowed, false: http.StatusNotFound}[len(others) > 0])
		return
	}
	call := upstream.Call{Service: to.Service, Path: upstream.Path(to.Service.Browser.Pass, path), Header: http.Header{}, Ended: g.ended}
	field, value := "Authorization", basic
	if to.Service.Name == "keyed" {
		field, value = "X-User-Id", userID
	}
	hygiene.ForwardHeaders(call.Header, r.Header, field)
	call.Header.Set(field, value)
	if g.change != nil {
		g.change(r, &call)
	}
	g.proxy.Serve(w, r, call)
}

func (g *gate) ended(o upstream.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.outcomes = append(g.outcomes, o)
}

// outcome waits for the next one.
func (g *gate) outcome(t testing.TB) (o upstream.Outcome) {
	t.Helper()
	eventually(t, "outcome", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.outcomes) == 0 {
			return false
		}
		o, g.outcomes = g.outcomes[0], g.outcomes[1:]
		return true
	})
	return o
}

// client is a browser that speaks one protocol and follows no redirect.
func (g *gate) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	transport := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true, MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, g.addr[proto])
		},
	}
	transport.Protocols.SetHTTP1(proto == "http/1.1")
	transport.Protocols.SetUnencryptedHTTP2(proto == "h2")
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// crm is a service at url, with more settings.
func crm(url string, more ...string) string { return named("crm", url, more...) }

func named(name, url string, more ...string) string {
	match := "[{ host: door.test, path: /" + name + "/** }, { host: crm, path: /** }]"
	if name != "crm" {
		match = "/" + name + "/**"
	}
	pass := strings.Join(append([]string{"strip: /" + name}, more...), ", ")
	return fmt.Sprintf("  %s:\n    upstream: { url: %q, dial: [127.0.0.0/8, \"::1/128\"] }\n    token: { bind: none }\n    match: %s\n    pass: { %s }\n", name, url, match, pass)
}

// many is a service with several targets.
func many(urls ...string) string {
	return fmt.Sprintf("  crm:\n    upstream: { targets: [\"%s\"], dial: [127.0.0.0/8] }\n    token: { bind: none }\n    match: /crm/**\n    pass: { strip: /crm }\n", strings.Join(urls, `", "`))
}

// plain starts a service.
func plain(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	s.Config.ErrorLog = quiet
	t.Cleanup(s.Close)
	return s.URL
}

// secure starts a service that speaks HTTP/2 over TLS, and returns who vouches for it.
func secure(t testing.TB, h http.HandlerFunc) (url string, trust func(*upstream.Config)) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2, s.Config.ErrorLog = true, quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, func(cfg *upstream.Config) { cfg.RootCAs = roots }
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

// closedPort returns the URL of a place where nobody listens.
func closedPort(t testing.TB) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + at
}

func write(t testing.TB, dir, services string) {
	t.Helper()
	next := filepath.Join(dir, "next")
	if err := os.WriteFile(next, []byte("version: 1\nowner: team\nservices:\n"+services), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, "t.yaml")); err != nil {
		t.Fatal(err)
	}
}
