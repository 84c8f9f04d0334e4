package bff_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

func TestCall(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	res := b.fetch(http.MethodGet, "/orders/7?x=1")
	if res.StatusCode != http.StatusOK || res.text != "served /orders/7" {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	if res.Header.Get("Intercom-Decision") == "" || res.Header.Get("Cache-Control") != "private, no-store" {
		t.Errorf("%v", res.Header)
	}
	got := w.last(t, 1)
	if auth := got.Header.Get("Authorization"); !strings.HasPrefix(auth, "Bearer minted for orders 1 ") || got.URL.RawQuery != "x=1" {
		t.Errorf("%q %q", auth, got.URL.RawQuery)
	}
	b.fetch(http.MethodGet, "/orders/8")
	if len(w.mints) != 1 {
		t.Errorf("%d tokens were minted for two calls", len(w.mints))
	}
}

// TestUnsafe: a POST with the session's token passes, with its body.
func TestUnsafe(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	res := b.fetch(http.MethodPost, "/orders/", bff.HeaderCSRF+": "+b.state().CSRF)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	if got := w.last(t, 1); got.Method != http.MethodPost || got.Header.Get(bff.HeaderCSRF) != "" {
		t.Errorf("%s %v", got.Method, got.Header)
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	const other = "Origin: https://app.test" // whose pages can read why
	bob := w.tab(t).logIn("bob")
	for name, c := range map[string]struct {
		got    answer
		status int
		code   string
	}{
		"policy":                {b.fetch(http.MethodGet, "/orders/secret", other), 403, "policy_denied"},
		"no rule":               {b.fetch(http.MethodGet, "/nobody/1", other), 403, "policy_denied"},
		"another group":         {b.fetch(http.MethodGet, "/admin/1", other), 403, "group_required"},
		"another scope":         {b.fetch(http.MethodGet, "/scoped/1", other), 403, "scope_required"},
		"another level":         {b.fetch(http.MethodGet, "/strong/1", other), 401, "login_level_required"},
		"no such route":         {b.fetch(http.MethodGet, "/what", other), 404, "route_unknown"},
		"odd path":              {b.fetch(http.MethodGet, "/orders/%2e%2e/admin", other), 400, "request_refused"},
		"no CSRF token":         {b.fetch(http.MethodPost, "/orders/1", other), 403, "csrf_failed"},
		"another's CSRF token":  {b.fetch(http.MethodPost, "/orders/1", other, bff.HeaderCSRF+": "+bob.state().CSRF), 403, "csrf_failed"},
		"nobody":                {w.tab(t).fetch(http.MethodGet, "/orders/1", other), 401, "login_required"},
		"own token, not for it": {b.fetch(http.MethodGet, "/own/1", other), 502, "token_exchange_failed"},
	} {
		if c.got.StatusCode != c.status || c.got.code() != c.code || c.got.Header.Get("Access-Control-Allow-Origin") != "https://app.test" {
			t.Errorf("%s: %d %s %v", name, c.got.StatusCode, c.got.text, c.got.Header)
		}
	}
	if len(w.arrived) != 0 {
		t.Errorf("%d refused requests arrived", len(w.arrived))
	}
}

func TestMethod(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	res := b.fetch(http.MethodPost, "/public/1")
	if res.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(res.Header.Get("Allow"), "GET") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res := b.fetch(http.MethodTrace, "/orders/1"); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("TRACE: %d", res.StatusCode)
	}
}

// TestNavigation: a page is led to the login, and back to where it was; one that another site led here is asked
// once more first, and one that needs a better login says so.
func TestNavigation(t *testing.T) {
	w := newWorld(t)
	res := w.tab(t).navigate("/orders/7?x=1")
	to, err := url.Parse(res.Header.Get("Location"))
	must(t, err)
	if res.StatusCode != http.StatusFound || to.Path != "/bff/login" || to.Query().Get("return_to") != "/orders/7?x=1" {
		t.Errorf("%d %v", res.StatusCode, to)
	}
	if res := w.tab(t).navigate("/orders/7", "Sec-Fetch-Site: cross-site"); res.StatusCode != http.StatusOK || !strings.Contains(res.text, "/orders/7") {
		t.Errorf("from a mail: %d %s", res.StatusCode, res.text)
	}
	if res := w.alice(t).navigate("/strong/1"); !strings.Contains(res.Header.Get("Location"), "acr=gold") {
		t.Errorf("step-up: %d %q", res.StatusCode, res.Header.Get("Location"))
	}
	if res := w.tab(t).navigate("/orders/7", "Sec-Fetch-Dest: iframe"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a frame: %d", res.StatusCode)
	}
}

// TestUnauthenticated: a script learns where a login begins.
func TestUnauthenticated(t *testing.T) {
	res := newWorld(t).tab(t).fetch(http.MethodGet, "/orders/1")
	if got := res.Header.Get("WWW-Authenticate"); got != `Intercom login_url="https://icom.test/bff/login"` {
		t.Errorf("%q", got)
	}
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t)
	if res := w.tab(t).fetch(http.MethodGet, "/public/1"); res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if got := w.last(t, 1); got.Header.Get("Authorization") != "" {
		t.Errorf("a token for nobody: %q", got.Header.Get("Authorization"))
	}
}

// TestEnded: of a session that an operator has ended the page learns that, and nothing is served.
func TestEnded(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	must(t, w.Sessions.End(t.Context(), b.session(), session.ReasonOperator))
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || res.code() != "session_revoked" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	if s := b.state(); s.Authenticated || s.Reason != "session_revoked" {
		t.Errorf("%+v", s)
	}
}

// TestForEverybody: who is logged in may see what nobody in particular may, and it gets nothing of the user.
func TestForEverybody(t *testing.T) {
	w := newWorld(t)
	for i, b := range []*tab{w.tab(t), w.alice(t), w.tab(t).logIn("bob")} {
		if res := b.navigate("/page/"); res.StatusCode != http.StatusOK {
			t.Errorf("%d: %d %s", i, res.StatusCode, res.text)
		}
		if got := w.last(t, i+1).Header; got.Get("Authorization") != "" || got.Get("Cookie") != "" {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// TestMintFails: what the broker says of our own exchange is no word about the browser's request, but for policy's.
func TestMintFails(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	for _, c := range []struct {
		said   error
		status int
		code   string
	}{
		{fault.New(fault.InvalidRequest, "SUBJECT_TOKEN_INVALID", "no"), http.StatusBadGateway, "token_exchange_failed"},
		{fault.New(fault.InvalidTarget, "TARGET_UNKNOWN", "no"), http.StatusBadGateway, "token_exchange_failed"},
		{fault.New(fault.Unauthenticated, "SVID_ENDED", "no"), http.StatusBadGateway, "token_exchange_failed"},
		{fault.New(fault.Denied, "POLICY_DENIED", "no"), http.StatusForbidden, "policy_denied"},
		{fault.New(fault.Unavailable, "BROKER_AWAY", "no"), http.StatusServiceUnavailable, "broker_away"},
	} {
		w.refuse = c.said
		if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != c.status || res.code() != c.code {
			t.Errorf("%v: %d %s", c.said, res.StatusCode, res.text)
		}
	}
}
