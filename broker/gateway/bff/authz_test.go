package bff_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// TestAuthz: a trusted proxy gets the answers that the browser would get, as 200, 401 or 403, and nobody else gets
// any.
func TestAuthz(t *testing.T) {
	w := newWorld(t)
	w.Trusted = func(r *http.Request) bool { return r.Header.Get("From") == "proxy" }
	alice, nobody := w.alice(t), w.tab(t)
	token := bff.HeaderCSRF + ": " + alice.state().CSRF
	for name, c := range map[string]struct {
		b            *tab
		method, path string
		also         []string
		status       int
		code         string
	}{
		"allowed":            {alice, "GET", "/orders/1?x=1", nil, 200, ""},
		"denied":             {alice, "GET", "/orders/secret", nil, 403, "policy_denied"},
		"nobody":             {nobody, "GET", "/orders/1", nil, 401, "login_required"},
		"a navigation":       {nobody, "GET", "/orders/1", providertest.Navigate(), 401, "login_required"},
		"a better login":     {alice, "GET", "/strong/1", nil, 401, "login_level_required"},
		"a post":             {alice, "POST", "/orders/1", nil, 403, "csrf_failed"},
		"with its token":     {alice, "POST", "/orders/1", []string{token}, 200, ""},
		"a sibling's":        {alice, "GET", "/orders/1", []string{"Origin: https://evil.test"}, 403, "origin_not_allowed"},
		"no route":           {alice, "GET", "/what", nil, 403, "route_unknown"},
		"no such method":     {alice, "DELETE", "/public/1", nil, 403, "method_not_allowed"},
		"dots":               {alice, "GET", "/orders/../own/1", nil, 403, "request_refused"},
		"another's origin":   {alice, "GET", "/orders/1", []string{"X-Forwarded-Host: app.test", "Origin: https://app.test"}, 401, "login_required"},
		"no origin":          {alice, "GET", "/orders/1", []string{"X-Forwarded-Host: evil.test"}, 403, "origin_unknown"},
		"a whole URL":        {alice, "GET", "https://icom.test/orders/1", nil, 403, "request_refused"},
		"no method":          {alice, "", "/orders/1", nil, 403, "method_not_allowed"},
		"somebody else":      {alice, "GET", "/orders/1", []string{"From: mallory"}, 403, "peer_not_trusted"},
		"says who asks":      {alice, "GET", "/orders/1", []string{"X-Forwarded-User: admin"}, 403, "request_refused"},
		"says what is meant": {alice, "POST", "/orders/1", []string{token, "X-HTTP-Method-Override: DELETE"}, 403, "request_refused"},
		"a proxy's own":      {alice, "GET", "/orders/1", []string{"X-Original-Url: https://icom.test/orders/1", "X-Real-Ip: 192.0.2.1", "X-Forwarded-Proto: https"}, 200, ""},
		"for everybody":      {nobody, "GET", "/public/1", nil, 200, ""},
	} {
		headers := append([]string{"From: proxy", "X-Forwarded-Method: " + c.method, "X-Forwarded-Uri: " + c.path}, c.also...)
		got := c.b.fetch(http.MethodGet, "/bff/authz", headers...)
		if got.StatusCode != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.text)
		}
		if code := got.Header.Get(bff.HeaderCode); code != c.code {
			t.Errorf("%s: the header says %q", name, code)
		}
		if (got.Header.Get("Intercom-Decision") != "") != (c.status == 200 || c.code == "policy_denied") {
			t.Errorf("%s: decision %q", name, got.Header.Get("Intercom-Decision"))
		}
	}
	w.Trusted = nil
	if got := alice.fetch(http.MethodGet, "/bff/authz", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /orders/1"); got.code() != "peer_not_trusted" {
		t.Errorf("nobody is trusted: %d %s", got.StatusCode, got.text)
	}
	w.last0(t)
}

// last0 fails if a service was called.
func (w *world) last0(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.arrived) != 0 {
		t.Errorf("%d requests arrived", len(w.arrived))
	}
}

// TestAuthzLeadsToTheLogin: a proxy gets the address that a navigation is to be led to, since it cannot make it, and for
// nothing else.
func TestAuthzLeadsToTheLogin(t *testing.T) {
	w := newWorld(t)
	w.Trusted = func(*http.Request) bool { return true }
	alice, nobody := w.alice(t), w.tab(t)
	navigation := append(providertest.Navigate(), "X-Forwarded-Method: GET", "X-Forwarded-Uri: /orders/1?a=b&c=%2F")
	if got := nobody.fetch(http.MethodGet, "/bff/authz", navigation...).Header.Get(bff.HeaderLogin); got != "https://icom.test/bff/login?return_to=%2Forders%2F1%3Fa%3Db%26c%3D%252F" {
		t.Errorf("a navigation is led to %q", got)
	}
	strong := append(providertest.Navigate(), "X-Forwarded-Method: GET", "X-Forwarded-Uri: /strong/1")
	if got := alice.fetch(http.MethodGet, "/bff/authz", strong...).Header.Get(bff.HeaderLogin); got != "https://icom.test/bff/login?acr=gold&return_to=%2Fstrong%2F1" {
		t.Errorf("a better login is at %q", got)
	}
	script := []string{"X-Forwarded-Method: GET", "X-Forwarded-Uri: /orders/1"}
	if got := nobody.fetch(http.MethodGet, "/bff/authz", script...); got.StatusCode != http.StatusUnauthorized || got.Header.Get(bff.HeaderLogin) != "" {
		t.Errorf("a script is led to %q", got.Header.Get(bff.HeaderLogin))
	}
}

// TestAuthzShowsPages: a proxy that hands on what it is told shows a page to who opens one, and words to a script.
func TestAuthzShowsPages(t *testing.T) {
	w := newWorld(t)
	w.Trusted = func(*http.Request) bool { return true }
	alice, nobody := w.alice(t), w.tab(t)
	at := func(path string) []string {
		return append(providertest.Navigate(), "Accept-Language: de", "X-Forwarded-Method: GET", "X-Forwarded-Uri: "+path)
	}
	got := alice.fetch(http.MethodGet, "/bff/authz", at("/orders/secret")...)
	if got.StatusCode != http.StatusForbidden || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") || !strings.Contains(got.text, "Kein Zugriff") ||
		!strings.Contains(got.text, "<code>policy_denied</code>") || got.Header.Get(bff.HeaderCode) != "policy_denied" || got.Header.Get("Intercom-Decision") == "" {
		t.Errorf("%d %v %s", got.StatusCode, got.Header, got.text)
	}
	for path, code := range map[string]string{"/orders/1": "login_required", "/what": "route_unknown", "/orders/../own/1": "request_refused"} { // of who is logged in they say nothing
		if got := nobody.fetch(http.MethodGet, "/bff/authz", at(path)...); got.code() != code {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.text)
		}
	}
	if got := nobody.fetch(http.MethodGet, "/bff/authz", append(at("/orders/1"), "X-Forwarded-User: admin")...); got.code() != "request_refused" {
		t.Errorf("nobody is told %d %s", got.StatusCode, got.text)
	}
}

// TestAuthzKeepsTheSession: a session that only proxies ask about is kept alive, and ends with the provider's.
func TestAuthzKeepsTheSession(t *testing.T) {
	w := newWorld(t, func(c *openid.Config) { c.AccessLife = 2 * time.Second })
	w.Trusted = func(*http.Request) bool { return true }
	b := w.alice(t)
	asks := func(uri string) answer {
		return b.fetch(http.MethodGet, "/bff/authz", "X-Forwarded-Method: GET", "X-Forwarded-Uri: "+uri)
	}
	before := w.Sessions.IdleEnd(b.session())
	if asks("/orders/poll"); !w.Sessions.IdleEnd(b.session()).Equal(before) {
		t.Error("polling is activity")
	}
	if asks("/orders/1"); !w.Sessions.IdleEnd(b.session()).After(before) {
		t.Error("a call is no activity")
	}
	asksUntil := func(what string, ok func(answer) bool) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(30 * time.Second); !ok(asks("/orders/1")); <-tick.C {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	asksUntil("the session is not refreshed", func(a answer) bool {
		if a.StatusCode != http.StatusOK {
			t.Fatalf("meanwhile: %d %s", a.StatusCode, a.text)
		}
		return w.idp.Grants("refresh_token") > 0
	})
	w.idp.EndSession(t.Context(), "alice")
	asksUntil("the session outlives the provider's", func(a answer) bool {
		return a.StatusCode == http.StatusUnauthorized && a.code() == "session_expired"
	})
}

// FuzzAuthz: whatever a proxy passes on, the answer is one of three, and nothing is redirected.
func FuzzAuthz(f *testing.F) {
	w := newWorld(f)
	w.Trusted = func(*http.Request) bool { return true }
	for _, target := range []string{"/orders/1", "//evil.test/", "/%2e%2e/", "http://icom.test/", "*", "", "/a b", "/orders/1#x", strings.Repeat("/a", 5000)} {
		f.Add("GET", target, "icom.test")
	}
	f.Fuzz(func(t *testing.T, method, target, host string) {
		r := httptest.NewRequest(http.MethodGet, "/bff/authz", nil)
		r.Header["X-Forwarded-Method"], r.Header["X-Forwarded-Uri"], r.Header["X-Forwarded-Host"] = []string{method}, []string{target}, []string{host}
		rec := httptest.NewRecorder()
		w.mux.ServeHTTP(rec, r)
		if rec.Code != 200 && rec.Code != 401 && rec.Code != 403 {
			t.Errorf("%q %q %q: %d", method, target, host, rec.Code)
		}
	})
}
