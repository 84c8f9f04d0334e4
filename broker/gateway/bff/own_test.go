package bff_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
)

func TestSession(t *testing.T) {
	w := newWorld(t)
	if s := w.tab(t).state(); s.Authenticated || s.Reason != "login_required" || s.CSRF != "" {
		t.Errorf("nobody: %+v", s)
	}
	b := w.alice(t)
	s := b.state()
	if !s.Authenticated || s.Sub != "alice" || s.CSRF == "" || s.Expires <= 0 || s.Idle <= 0 || s.Claims["name"] != "Alice Example" || len(s.Claims) != 1 {
		t.Errorf("%+v", s)
	}
	to, err := url.Parse(s.LogoutURL)
	must(t, err)
	if to.Path != "/bff/logout" || to.Query().Get("sid") != bff.PublicID([]byte(b.id().Cookie())) {
		t.Errorf("logout at %v", to)
	}
}

// TestOwnPaths: an origin that is not ours, a method that is not the path's, and what no browser may keep.
func TestOwnPaths(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	if res := b.fetch(http.MethodPut, "/bff/session"); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res := b.fetch(http.MethodGet, "/bff/session", "Origin: https://evil.test"); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", res.Header)
	}
	if res := b.fetch(http.MethodGet, "/bff/session"); res.Header.Get("Cache-Control") != "no-store" { // nobody asks for it with cache: 'no-store'
		t.Errorf("%v", res.Header)
	}
	b.Host = "icom.evil.test"
	for _, path := range []string{"/bff/session", "/orders/1"} {
		if res := b.fetch(http.MethodGet, path); res.StatusCode != http.StatusNotFound || res.code() != "origin_unknown" {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
	b.Host = "app.test"
	if res := b.fetch(http.MethodGet, "/orders/1", "Origin: https://app.test"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the session of another origin: %d", res.StatusCode)
	}
}

func TestTouch(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	s := b.session()
	if res := b.fetch(http.MethodPost, "/bff/session/touch"); res.code() != "csrf_failed" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	csrf := b.state().CSRF
	b.fetch(http.MethodGet, "/orders/poll")
	if before := w.Sessions.IdleEnd(s); !before.Equal(s.Created.Add(s.Idle)) {
		t.Errorf("looking is activity: %v, session of %v", before, s.Created)
	}
	if res := b.fetch(http.MethodPost, "/bff/session/touch", bff.HeaderCSRF+": "+csrf); res.StatusCode != http.StatusNoContent {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	if !w.Sessions.IdleEnd(s).After(s.Created.Add(s.Idle)) {
		t.Error("a touch is none")
	}
}

// testSilent: one page may be framed, by listed origins, and tells one of them what came of it.
func testSilent(t *testing.T) {
	w := newWorld(t)
	frame := []string{"Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: same-site"}
	const at = "/bff/silent?origin=https%3A%2F%2Fportal.test"
	b := w.alice(t)
	res := b.navigate(at, frame...)
	policy := res.Header.Get("Content-Security-Policy")
	if res.StatusCode != http.StatusOK || !strings.HasSuffix(policy, "frame-ancestors https://portal.test") || !strings.Contains(res.text, "&#34;loggedIn&#34;:true") || !strings.Contains(res.text, b.state().CSRF) {
		t.Errorf("%d %q %s", res.StatusCode, policy, res.text)
	}
	if strings.Contains(res.text, b.id().Cookie()) || strings.Contains(res.text, `"*"`) {
		t.Error(res.text)
	}
	if res := b.navigate("/bff/silent?origin=https%3A%2F%2Fevil.test", frame...); res.StatusCode != http.StatusForbidden || strings.Contains(res.text, b.state().CSRF) {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	nobody := w.tab(t)
	res = nobody.navigate(at, frame...)
	to := res.Header.Get("Location")
	if res.StatusCode != http.StatusFound || !strings.HasPrefix(to, "/bff/login?prompt=none&") {
		t.Fatalf("%d to %q", res.StatusCode, to)
	}
	begun := nobody.navigate(to, frame...)
	back := nobody.Open(begun.Header.Get("Location")).Location()
	res = nobody.navigate("/bff/callback?"+back.RawQuery, frame...)
	res = nobody.navigate(res.Header.Get("Location"), frame...)
	if res.StatusCode != http.StatusOK || !strings.Contains(res.text, "&#34;loggedIn&#34;:false,&#34;reason&#34;:&#34;login_required&#34;") {
		t.Errorf("after asking: %d %s", res.StatusCode, res.text)
	}
	if res := w.tab(t).navigate(at+"&asked=", frame...); !strings.Contains(res.text, "&#34;reason&#34;:&#34;cookies_blocked&#34;") {
		t.Errorf("without the cookie that asking sets: %s", res.text)
	}
	// A frame that is sent to nobody would never say anything.
	for _, endpoint := range []string{openid.PathRevoke, openid.PathDiscovery} {
		w.idp.Break(endpoint, providertest.Status(http.StatusServiceUnavailable, 0))
	}
	if err := w.Provider.Revoke(t.Context(), secret.FromString("x")); err == nil {
		t.Fatal("it answers")
	}
	res = nobody.navigate(at, frame...)
	if res.StatusCode != http.StatusOK || !strings.Contains(res.text, "&#34;loggedIn&#34;:false,&#34;reason&#34;:&#34;provider_unavailable&#34;") {
		t.Errorf("nobody to ask: %d %s", res.StatusCode, res.text)
	}
}

// served is the world behind a real listener, as streams need one.
func (w *world) served(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(w.mux)
	t.Cleanup(s.Close)
	return s
}

// open sends a request of b's to it and returns the answer while it lasts.
func (b *tab) open(t *testing.T, s *httptest.Server, path string, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	must(t, err)
	r.Host = "icom.test"
	for _, h := range append([]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"}, headers...) {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	r.AddCookie(b.Cookies["__Host-Http-ic"])
	res, err := s.Client().Transport.RoundTrip(r)
	must(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	s := w.served(t)
	b := w.alice(t)
	before := w.Sessions.IdleEnd(b.session())
	res := b.open(t, s, "/bff/events")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != ":" {
		t.Errorf("begins with %q", lines.Text())
	}
	if after := w.Sessions.IdleEnd(b.session()); !after.Equal(before) {
		t.Error("listening is activity")
	}
	must(t, w.Sessions.End(t.Context(), b.session(), session.ReasonOperator))
	var got []string
	for lines.Scan() {
		if lines.Text() != "" {
			got = append(got, lines.Text())
		}
	}
	if want := "event: session.ended\ndata: {\"reason\":\"session_revoked\"}"; strings.Join(got, "\n") != want {
		t.Errorf("%q", got)
	}
	if res := b.open(t, s, "/bff/events"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("afterwards: %d", res.StatusCode)
	}
	evil := w.alice(t).open(t, s, "/bff/events", "Origin: https://evil.test")
	if evil.StatusCode != http.StatusForbidden {
		t.Errorf("from another site: %d", evil.StatusCode)
	}
}

// TestStreams: what lasts ends with the session, and when this gateway drains.
func TestStreams(t *testing.T) {
	w := newWorld(t)
	s := w.served(t)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	})
	ends := func(end func(b *tab)) {
		t.Helper()
		b := w.alice(t)
		res := b.open(t, s, "/orders/stream")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = res.Body.Read(make([]byte, 1))
		}()
		select {
		case <-ended:
			t.Fatal("it ended by itself")
		case <-time.After(50 * time.Millisecond):
		}
		end(b)
		<-ended
	}
	ends(func(b *tab) { must(t, w.Sessions.End(t.Context(), b.session(), session.ReasonLogout)) })
	ends(func(*tab) { close(w.drain) })
}
