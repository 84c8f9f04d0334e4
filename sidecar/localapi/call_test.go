package localapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

const (
	bearer = intercomv1.Bind_BIND_NONE
	bound  = intercomv1.Bind_BIND_X5T_S256
)

// viaProxy sends to http://service/path as users of http_proxy do.
func (w *world) viaProxy(target string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, target, nil)
	must(w.t, err)
	proxy := http.ProxyURL(&url.URL{Scheme: "http", Host: w.door})
	resp, err := (&http.Transport{Proxy: proxy, DisableKeepAlives: true}).RoundTrip(req)
	must(w.t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp, string(got)
}

func TestTokenServiceOverHTTP(t *testing.T) {
	inventory := new(later)
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, inventory)+"/base", bearer))
	inventory.set(w.verifies("inventory"))
	const want = "bearer HTTP/1.1 GET /base/items/1?a=1;b=%zz "
	resp, body := w.get("/inventory/items/1?a=1;b=%zz", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer of-the-application")
	})
	if resp.StatusCode != http.StatusOK || body != want || resp.Header.Get(fault.DecisionHeader) != "d-1" {
		t.Errorf("by path: %s %v %q", resp.Status, resp.Header, body)
	}
	if resp, body = w.get("/items/1?a=1;b=%zz", func(r *http.Request) { r.Host = "Inventory" }); body != want {
		t.Errorf("by host: %s %q", resp.Status, body)
	}
	if resp, body = w.viaProxy("http://inventory/items/1?a=1;b=%zz"); body != want {
		t.Errorf("by proxy: %s %q", resp.Status, body)
	}
	if resp, body = w.do(http.MethodPost, "/inventory", strings.NewReader("body"), nil); body != "bearer HTTP/1.1 POST /base/ body" {
		t.Errorf("without a path: %s %q", resp.Status, body)
	}
	if n := w.broker.minted.Load(); n != 1 {
		t.Errorf("%d tokens for four calls", n)
	}
}

func TestTokenIsBoundToTheConnection(t *testing.T) {
	ledger := new(later)
	w := newWorld(t, setup{})
	address := w.serveSVID("/ledger", ledger)
	ledger.set(w.verifies("ledger"))
	w.broker.set(tokenService("ledger", "https://"+address, bound))
	eventually(t, "the service is known", func() bool {
		resp, _ := w.get("/ledger/", nil)
		return resp.StatusCode == http.StatusOK
	})
	if resp, body := w.do(http.MethodPut, "/ledger/x", strings.NewReader("body"), nil); body != "bound HTTP/2.0 PUT /x body" {
		t.Errorf("%s %q", resp.Status, body)
	}
}

// TestRotationKeepsTokensAndConnectionsTogether calls a service that verifies `cnf` while SVIDs change.
func TestRotationKeepsTokensAndConnectionsTogether(t *testing.T) {
	ledger := new(later)
	w := newWorld(t, setup{})
	address := w.serveSVID("/ledger", ledger)
	ledger.set(w.verifies("ledger"))
	w.broker.set(tokenService("ledger", "https://"+address, bound))
	eventually(t, "the service is known", func() bool {
		resp, _ := w.get("/ledger/", nil)
		return resp.StatusCode == http.StatusOK
	})
	var calls atomic.Int64
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if resp, body := w.do(http.MethodPost, "/ledger/", strings.NewReader("body"), nil); resp.StatusCode != http.StatusOK {
					t.Errorf("%s %s", resp.Status, body)
				}
				calls.Add(1)
			}
		})
	}
	for range 4 {
		former, minted, before := w.client.Conn(), w.broker.minted.Load(), calls.Load()
		w.domain.Rotate()
		eventually(t, "the next SVID is in use", func() bool { return w.client.Conn() != former })
		if n := w.broker.minted.Load(); n == minted {
			t.Error("the next SVID is in use before there is a token for it")
		}
		eventually(t, "calls go on", func() bool { return calls.Load() > before+10 })
	}
	close(quit)
	wg.Wait()
	if n := w.broker.minted.Load(); n > 6 {
		t.Errorf("%d tokens for one service and five SVIDs", n)
	}
}

func TestInjectGoesThroughEgress(t *testing.T) {
	w := newWorld(t, setup{egress: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Set-Cookie", "a=b")
		rw.Header().Set("Alt-Svc", "h3=elsewhere")
		rw.Header().Set(fault.DecisionHeader, "d-of-egress")
		fmt.Fprintf(rw, "%s %s%s auth=%q cookie=%q", r.Proto, r.Host, r.URL.RequestURI(), r.Header["Authorization"], r.Header["Cookie"])
	})}, &intercomv1.Service{Name: "crm", Mode: intercomv1.Mode_MODE_INJECT})
	resp, body := w.get("/crm/people?q=1", func(r *http.Request) {
		r.Header.Set("Authorization", "Basic mine")
		r.Header.Set("Cookie", "c=d")
	})
	if body != `HTTP/2.0 crm/people?q=1 auth=[] cookie=[]` {
		t.Errorf("%s %q", resp.Status, body)
	}
	if resp.Header["Set-Cookie"] != nil || resp.Header["Alt-Svc"] != nil || resp.Header.Get(fault.DecisionHeader) != "d-of-egress" {
		t.Errorf("came back with %v", resp.Header)
	}
}

// TestHeaders looks at what a service gets of what an application sends.
func TestHeaders(t *testing.T) {
	got := make(chan http.Header, 1)
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got <- r.Header
		rw.Header().Set(fault.DecisionHeader, "made up")
		rw.Header().Set("Intercom-Anything", "made up")
	})), bearer))
	resp, body := w.get("/inventory/", func(r *http.Request) {
		r.Header = http.Header{
			"Accept": {"a", "b"}, "Idempotency-Key": {"1"}, "Authorization": {"Bearer x"},
			"X-Forwarded-For": {"1.2.3.4"}, "Intercom-Decision": {"d"}, "Cookie": {"c=d"}, "Proxy-Authorization": {"p"},
			"X-Hop": {"1"}, "Connection": {"X-Hop"},
		}
	})
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, body)
	}
	h := <-got
	if !strings.HasPrefix(h.Get("Authorization"), "Bearer ey") || len(h["Authorization"]) != 1 {
		t.Errorf("Authorization: %q", h["Authorization"])
	}
	if len(h["Accept"]) != 2 || h.Get("Idempotency-Key") != "1" {
		t.Errorf("lost on the way: %v", h)
	}
	for _, name := range []string{"X-Forwarded-For", "Intercom-Decision", "Cookie", "Proxy-Authorization", "X-Hop", "Connection"} {
		if h[name] != nil {
			t.Errorf("%s travelled: %q", name, h[name])
		}
	}
	if got := resp.Header[fault.DecisionHeader]; len(got) != 1 || got[0] != "d-1" {
		t.Errorf("the decision is %q", got)
	}
	if got := resp.Header["Intercom-Anything"]; got != nil {
		t.Errorf("a service speaks for us: %q", got)
	}
}

// refuses is a service that takes no token.
func refuses(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	rw.WriteHeader(http.StatusUnauthorized)
}

func TestRefusedTokenIsFetchedAnew(t *testing.T) {
	const life = 10 * time.Second
	w := newWorld(t, setup{life: life}, tokenService("inventory", plain(t, http.HandlerFunc(refuses)), bearer))
	began := time.Now()
	eventually(t, "another token is fetched", func() bool {
		if resp, _ := w.get("/inventory/", nil); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("the service's own answer does not come through: %s", resp.Status)
		}
		return w.broker.minted.Load() > 1
	})
	if took := time.Since(began); took < life/25 { // a twentieth of what is left of a life that is told in whole seconds
		t.Errorf("a service that refuses every token makes us fetch another after %v", took)
	}
}

// TestWarm: the next SVID is not used before the tokens that are in use are there for it.
func TestWarm(t *testing.T) {
	ledger := new(later)
	w := newWorld(t, setup{client: hasty()})
	address := w.serveSVID("/ledger", ledger)
	ledger.set(w.verifies("ledger"))
	w.known(tokenService("ledger", "https://"+address, bound))
	w.get("/ledger/", nil)
	former := w.client.Conn()
	w.broker.refuse("ledger", fault.New(fault.Unavailable, "VAULT_SEALED", "sealed"))
	w.domain.Rotate()
	time.Sleep(300 * time.Millisecond)
	if resp, body := w.get("/ledger/", nil); w.client.Conn() != former || !strings.HasPrefix(body, "bound ") {
		t.Errorf("while there is no token for the next SVID: %s %s", resp.Status, body)
	}
	w.broker.refuse("ledger", nil)
	eventually(t, "the next SVID is in use", func() bool { return w.client.Conn() != former })
	minted := w.broker.minted.Load()
	if _, body := w.get("/ledger/", nil); !strings.HasPrefix(body, "bound ") || w.broker.minted.Load() != minted {
		t.Errorf("the first call with the next SVID waits for a token: %s", body)
	}
}

// TestRefusedWarmIsNoObstacle: a service that we may no longer call does not keep the former SVID in use.
func TestRefusedWarmIsNoObstacle(t *testing.T) {
	ledger := new(later)
	w := newWorld(t, setup{})
	address := w.serveSVID("/ledger", ledger)
	ledger.set(w.verifies("ledger"))
	w.known(tokenService("ledger", "https://"+address, bound))
	w.get("/ledger/", nil)
	former := w.client.Conn()
	w.broker.refuse("ledger", fault.New(fault.Denied, "", "no"))
	w.domain.Rotate()
	eventually(t, "the next SVID is in use", func() bool { return w.client.Conn() != former })
}

// TestWrongBinding: a token that is bound otherwise than was asked for is given to nobody.
func TestWrongBinding(t *testing.T) {
	var reached atomic.Int64
	seen := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	w := newWorld(t, setup{})
	w.broker.change(func(b *smallBroker) { b.misbind = true })
	w.known(tokenService("inventory", plain(t, seen), bearer), tokenService("ledger", "https://"+w.serveSVID("/ledger", seen), bound))
	for _, path := range []string{"/inventory/", "/ledger/", "/v1/token?audience=inventory"} {
		resp, body := w.get(path, asking)
		problem(t, resp, body, http.StatusInternalServerError, "WRONG_BINDING")
	}
	if reached.Load() != 0 {
		t.Error("it was used")
	}
}

func TestListChanges(t *testing.T) {
	hello := plain(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello") }))
	w := newWorld(t, setup{}, tokenService("one", hello, bearer))
	if _, body := w.get("/one/", nil); body != "hello" {
		t.Errorf("got %q", body)
	}
	w.broker.set(tokenService("two", hello, bearer))
	eventually(t, "the new service is there", func() bool { _, body := w.get("/two/", nil); return body == "hello" })
	resp, body := w.get("/one/", nil)
	problem(t, resp, body, http.StatusNotFound, "SERVICE_UNKNOWN")
}

// TestServiceLeaves: the connections of a service that is no longer listed do not stay.
func TestServiceLeaves(t *testing.T) {
	var closed atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	w := newWorld(t, setup{}, tokenService("one", srv.URL, bearer), tokenService("two", srv.URL, bearer))
	w.get("/one/", nil)
	w.get("/two/", nil)
	w.broker.set(tokenService("two", srv.URL, bearer))
	eventually(t, "its connection is closed", func() bool { return closed.Load() == 1 })
	time.Sleep(50 * time.Millisecond)
	if n := closed.Load(); n != 1 {
		t.Errorf("%d connections are closed: the other service did not change", n)
	}
}
