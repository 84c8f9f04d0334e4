package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
)

// proving is a service that takes bound tokens alone, each proof once, with its own nonce.
type proving struct {
	*httptest.Server
	mu    sync.Mutex
	nonce string
	jtis  map[string]bool
	keys  map[string]bool
}

func newProving(t *testing.T) *proving {
	p := &proving{nonce: "n-1", jtis: map[string]bool{}, keys: map[string]bool{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *proving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set(dpop.HeaderNonce, p.nonce)
	token, isDPoP := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
	proofs := r.Header.Values(dpop.Header)
	if !isDPoP || len(proofs) != 1 {
		http.Error(w, "want one proof", http.StatusBadRequest)
		return
	}
	got, err := dpop.Check(proofs[0], dpop.Use{Method: r.Method, URL: "http://" + r.Host + r.URL.Path, Token: token, Nonce: p.nonce, Now: time.Now()})
	switch {
	case errors.Is(err, dpop.ErrNonce):
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		http.Error(w, "another nonce", http.StatusUnauthorized)
	case err != nil || p.jtis[got.JTI]:
		http.Error(w, "a bad proof", http.StatusForbidden)
	default:
		p.jtis[got.JTI], p.keys[got.Thumbprint] = true, true
	}
}

func (p *proving) wants(nonce string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonce = nonce
}

// TestPossession: a service of the provider's tokens gets a proof with each of them, by the session's own key, and the
// nonce that it wants; the page hears of none of it. What the broker mints goes on as it was.
func TestPossession(t *testing.T) {
	t.Parallel()
	p := newProving(t)
	w := newWorld(t, options{
		change: func(c *gateway.Config) { c.Provider.DPoP = true },
		more: fmt.Sprintf(`  proving: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: items-api } }, match: "/proving/**" }
`, p.URL),
		rules: "p, group:staff, call, service/proving/**, allow\n",
	})
	alice, again := w.person(t, 0), w.person(t, 0)
	alice.Login("alice")
	again.Login("alice")
	calls := func(who *person, method, path string, headers ...string) {
		t.Helper()
		res := who.Fetch(method, path, headers...)
		if res.StatusCode != http.StatusOK || res.Header.Get(dpop.HeaderNonce) != "" {
			t.Errorf("%s %s: %d %v %s", method, path, res.StatusCode, res.Header, res.Text)
		}
	}
	calls(alice, http.MethodGet, "/proving/1?x=1")
	calls(alice, http.MethodGet, "/proving/2", "DPoP: made-up")
	p.wants("n-2")
	calls(alice, http.MethodGet, "/proving/3")
	calls(again, http.MethodGet, "/proving/1")
	if len(p.keys) != 2 {
		t.Errorf("two sessions have %d keys", len(p.keys))
	}
	calls(alice, http.MethodGet, "/orders/1")
}
