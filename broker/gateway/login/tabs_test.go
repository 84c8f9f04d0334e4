package login_test

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
)

// TestFromAnotherSite: no Strict cookie comes with the redirect, neither that of the session before nor the new one with what
// follows, so a page of ours stands between. It spends nothing.
func TestFromAnotherSite(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		dest   string
		lax    bool
		status int
	}{{"document", false, http.StatusOK}, {"document", true, http.StatusSeeOther}, {"iframe", false, http.StatusSeeOther}} {
		w.Lax = c.lax
		b := w.browser(t)
		back := "/bff/callback?" + b.Login(b.begin(t, "return_to=/orders"), "alice").Encode()
		res := b.get(back, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: "+c.dest)
		if res.StatusCode != c.status || (b.Cookies["__Host-Http-ic"] == nil) != (c.status == http.StatusOK) {
			t.Errorf("%+v: %d, %v", c, res.StatusCode, res.Header)
		}
		if c.status != http.StatusOK {
			continue
		}
		if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), html.EscapeString(back)) {
			t.Errorf("the page leads elsewhere: %s", text)
		}
		if res := b.get(back); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" || b.Cookies["__Host-Http-ic"] == nil {
			t.Errorf("from our page: %d, %v", res.StatusCode, res.Header)
		}
	}
}

// TestTabsAtOnce: logins that begin before any cookie of ours is there do not take each other's.
func TestTabsAtOnce(t *testing.T) {
	w := newWorld(t)
	b, second := w.browser(t), w.browser(t)
	first := b.begin(t, "return_to=/first")
	other := second.begin(t, "return_to=/second")
	for name, c := range second.Cookies { // as a browser has both
		b.Cookies[name] = c
	}
	if len(b.Cookies) != 2 {
		t.Fatalf("cookies: %v", b.Cookies)
	}
	for address, to := range map[string]string{first: "/first", other: "/second"} {
		if res := b.get("/bff/callback?" + b.Login(address, "alice").Encode()); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != to {
			t.Errorf("%s: %d to %q", to, res.StatusCode, res.Header.Get("Location"))
		}
	}
	if b.begin(t, ""); len(b.Cookies) != 3 {
		t.Errorf("the next login has a cookie of its own: %v", b.Cookies)
	}
}

// TestBindingsAreBounded: of too many cookies the oldest go, and one under another's name never counts.
func TestBindingsAreBounded(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for range 40 {
		other := w.browser(t)
		other.begin(t, "")
		for name, c := range other.Cookies {
			b.Cookies[name] = c
		}
	}
	if b.begin(t, ""); len(b.Cookies) != 32 {
		t.Errorf("%d cookies", len(b.Cookies))
	}
	mallory, victim := w.browser(t), w.browser(t)
	back := mallory.Login(mallory.begin(t, ""), "bob")
	for name, c := range mallory.Cookies {
		for _, other := range []string{"__Host-Http-ic-tx", "__Host-Http-ic-tx-", "__Host-Http-ic-tx-00000000", strings.ToLower(name)} {
			victim.Cookies[other] = &http.Cookie{Name: other, Value: c.Value}
		}
	}
	if res := victim.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusBadRequest || victim.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("%d", res.StatusCode)
	}
}

// TestLate: who comes too late is led to where the login was to lead, or gets a login that leads there.
func TestLate(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	oldest := b.begin(t, "return_to=/deep?x=1")
	for range 8 {
		b.begin(t, "")
	}
	late := "/bff/callback?" + b.Login(oldest, "alice").Encode()
	res := b.get(late)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), `href="/bff/login?return_to=%2Fdeep%3Fx%3D1"`) {
		t.Errorf("nobody is logged in: %d %s", res.StatusCode, text)
	}
	b.logIn(t, "")
	if res := b.get(late); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/deep?x=1" {
		t.Errorf("another tab was faster: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	other := w.browser(t)
	other.logIn(t, "")
	if res := other.get(late); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" {
		t.Errorf("another browser: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}

// TestCrowded: a session is not found among too many cookies, so nobody is sent round and round for one.
func TestCrowded(t *testing.T) {
	b := newWorld(t).browser(t)
	for i := range 3 {
		name := "sibling" + strconv.Itoa(i)
		b.Cookies[name] = &http.Cookie{Name: name, Value: strings.Repeat("a", 3000)}
	}
	res := b.get("/bff/login?return_to=/orders")
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !strings.Contains(string(text), "too many cookies") || !strings.Contains(string(text), `href="/bff/login?return_to=/orders"`) {
		t.Errorf("%d %s", res.StatusCode, text)
	}
}

// TestFrameIsLedOn: a frame in which the browser keeps no cookies shows no page of ours, and gets no session.
func TestFrameIsLedOn(t *testing.T) {
	w := newWorld(t)
	mallory, victim := w.browser(t), w.browser(t)
	back := mallory.Login(mallory.begin(t, "return_to=/orders"), "bob")
	res := victim.get("/bff/callback?"+back.Encode(), "Sec-Fetch-Dest: iframe")
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" || len(victim.Cookies) != 0 {
		t.Errorf("%d to %q with %v", res.StatusCode, res.Header.Get("Location"), victim.Cookies)
	}
	if res := victim.get("/bff/callback?state=unknown", "Sec-Fetch-Dest: iframe"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("nobody knows where it was to lead: %d", res.StatusCode)
	}
}

// TestBrowserLeaves: that somebody does not wait for the provider's answer is no failure of a login.
func TestBrowserLeaves(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := w.browser(t)
	back := b.Login(b.begin(t, ""), "alice")
	reached := make(chan struct{})
	w.idp.Break(openid.PathToken, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(reached)
			<-r.Context().Done()
		})
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-reached; leave() }()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://icom.test/bff/callback?"+back.Encode(), nil)
	for _, c := range b.Cookies {
		r.AddCookie(c)
	}
	w.mux.ServeHTTP(httptest.NewRecorder(), r)
	if text := log.String(); !strings.Contains(text, "level=INFO") || strings.Contains(text, "level=WARN") || strings.Contains(text, "a login failed") {
		t.Errorf("log: %s", text)
	}
}
