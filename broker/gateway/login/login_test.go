package login_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
)

// world is a gateway's way in, on a real provider.
type world struct {
	*login.Handler
	idp *providertest.Server
	mux *http.ServeMux
}

func newWorld(t *testing.T) *world {
	t.Helper()
	idp := providertest.New(t, openid.Config{Clients: []openid.Client{{
		ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{"https://icom.test/bff/callback", "https://app.test/bff/callback"},
	}}})
	p, err := provider.Open(t.Context(), provider.Config{
		Issuer: idp.Issuer(), ClientID: "gateway", Scopes: []string{"profile", "groups"}, RootCAs: idp.RootCAs(), Auth: provider.Auth{Secret: func(context.Context) (secret.Value, error) { return secret.FromString("s3cret"), nil }},
	})
	must(t, err)
	pages, err := page.New(nil)
	must(t, err)
	sessions := session.New(session.Config{Store: session.NewMemory(nil)})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sessions.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	w := &world{idp: idp, mux: http.NewServeMux(), Handler: &login.Handler{
		Provider: p, Sessions: sessions, Store: login.NewMemory(nil), Pages: pages, Claims: []string{"name"}, Starts: &login.Starts{},
		Origins: route.Origins{{URL: "https://icom.test", ReturnTo: []string{"https://portal.test"}}, {URL: "https://app.test"}},
	}}
	w.Mount(w.mux)
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tab is a browser that may log in.
type tab struct {
	*providertest.Tab
	w *world
}

func (w *world) browser(t *testing.T) *tab { return &tab{w.idp.Tab(t, w.mux, "icom.test"), w} }

// get navigates; headers are "Name: value".
func (b *tab) get(target string, headers ...string) *http.Response {
	return b.Do(http.MethodGet, target, "", append(providertest.Navigate(), headers...)...)
}

// begin goes to the login and returns where the provider is.
func (b *tab) begin(t *testing.T, query string) string {
	t.Helper()
	res := b.get("/bff/login?" + query)
	if res.StatusCode != http.StatusFound {
		t.Fatalf("login: %d", res.StatusCode)
	}
	return res.Header.Get("Location")
}

// login logs alice in and returns the last answer.
func (b *tab) logIn(t *testing.T, query string) *http.Response {
	t.Helper()
	return b.get("/bff/callback?" + b.Login(b.begin(t, query), "alice").Encode())
}

// session is the one that the browser has.
func (b *tab) session(t *testing.T) (session.Session, error) {
	t.Helper()
	c := b.Cookies["__Host-Http-ic"]
	if c == nil {
		return session.Session{}, errors.New("no cookie")
	}
	id, ok := session.ParseID(c.Value)
	if !ok {
		t.Fatalf("cookie %q", c.Value)
	}
	return b.w.Sessions.Get(t.Context(), id)
}

// TestLevelThatCannotBeAsked: who asks for a level gets that or nothing. A login without it would lead back to where it was
// asked for, and from there to the login again.
func TestLevelThatCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	for name, acr := range map[string]string{"too long": strings.Repeat("a", 129), "two": "gold silver", "control characters": "gold\n"} {
		res := w.browser(t).get("/bff/login?" + url.Values{"acr": {acr}}.Encode())
		if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), login.ReasonLevel) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	if text := log.String(); strings.Count(text, "reason="+login.ReasonLevel) != 3 || strings.Contains(text, "aaaa") || strings.Contains(text, "silver") {
		t.Errorf("log: %s", text)
	}
	for _, acr := range []string{"gold", "urn:mace:incommon:iap:silver", strings.Repeat("a", 128)} {
		to, err := url.Parse(w.browser(t).begin(t, url.Values{"acr": {acr}}.Encode()))
		must(t, err)
		if got := to.Query().Get("acr_values"); got != acr {
			t.Errorf("%q is asked for as %q", acr, got)
		}
	}
}

func TestLogin(t *testing.T) {
	b := newWorld(t).browser(t)
	res := b.logIn(t, "return_to="+url.QueryEscape("/orders?x=1"))
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders?x=1" {
		t.Fatalf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	s, err := b.session(t)
	must(t, err)
	if s.Issuer != b.w.idp.Issuer() || s.Subject != "alice" || s.SID == "" || len(s.Groups) != 1 || s.Groups[0] != "staff" || s.Origin != "https://icom.test" ||
		string(s.Claims["name"]) != `"Alice Example"` || len(s.Claims) != 1 || s.ProviderEnd.IsZero() || s.Tokens.Refresh.IsZero() || s.Tokens.ID.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestConformance(t *testing.T) {
	for id, test := range map[string]func(*testing.T, *world){
		"FLOW-3": otherBrowser, "FLOW-4": callbackTwice, "FLOW-8": silent, "FLOW-13": neverTemporary, "FLOW-14": nowhereElse,
		"SESS-1": cookieAttributes, "SESS-2": cookieIsOpaque, "SESS-4": newIDAtLogin, "SESS-12": manyTransactions, "CSRF-4": loginCSRF, "FRM-1": notFramed, "BCL-12": logoutWhileLoggingIn,
	} {
		t.Run(id, func(t *testing.T) { test(t, newWorld(t)) })
	}
}

func otherBrowser(t *testing.T, w *world) {
	mallory, victim := w.browser(t), w.browser(t)
	back := mallory.Login(mallory.begin(t, ""), "bob")
	victim.begin(t, "") // it has a binding cookie of its own
	if res := victim.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusBadRequest || victim.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("the victim gets %d", res.StatusCode)
	}
	if res := w.browser(t).get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a browser without a cookie gets %d", res.StatusCode)
	}
	if res := mallory.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther {
		t.Errorf("who has only seen the answer has spent the login: %d", res.StatusCode)
	}
}

// TestEachOriginHasItsOwnLogin: what begins at one origin does not end at another.
func TestEachOriginHasItsOwnLogin(t *testing.T) {
	b := newWorld(t).browser(t)
	back := b.Login(b.begin(t, ""), "alice")
	b.Host = "app.test"
	if res := b.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusBadRequest || b.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("%d", res.StatusCode)
	}
	b.Host = "icom.test"
	if res := b.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther {
		t.Errorf("where it began: %d", res.StatusCode)
	}
}

func callbackTwice(t *testing.T, w *world) {
	b := w.browser(t)
	back := b.Login(b.begin(t, "return_to=/orders"), "alice").Encode()
	if res := b.get("/bff/callback?" + back); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("first: %d", res.StatusCode)
	}
	if res := b.get("/bff/callback?" + back); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" {
		t.Errorf("again, logged in: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	delete(b.Cookies, "__Host-Http-ic")
	if res := b.get("/bff/callback?" + back); res.StatusCode != http.StatusBadRequest {
		t.Errorf("again, not logged in: %d", res.StatusCode)
	}
	refused := w.browser(t)
	state := url.Values{"state": {stateOf(t, refused.begin(t, ""))}, "error": {"access_denied"}, "iss": {w.idp.Issuer()}}
	if res := refused.get("/bff/callback?" + state.Encode()); res.StatusCode != http.StatusForbidden {
		t.Errorf("refused: %d", res.StatusCode)
	}
	if res := refused.get("/bff/callback?" + state.Encode()); res.StatusCode != http.StatusBadRequest {
		t.Errorf("refused again: %d", res.StatusCode)
	}
}

func stateOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return u.Query().Get("state")
}

func silent(t *testing.T, w *world) {
	b := w.browser(t)
	back := b.Visit(b.begin(t, "prompt=none&return_to=/orders"))
	res := b.get("/bff/callback?" + back.Encode())
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" || b.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("nobody is logged in: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	b.logIn(t, "")
	delete(b.Cookies, "__Host-Http-ic")
	back = b.Visit(b.begin(t, "prompt=none&return_to=/orders"))
	if res := b.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther || b.Cookies["__Host-Http-ic"] == nil {
		t.Errorf("alice is logged in: %d", res.StatusCode)
	}
}

func neverTemporary(t *testing.T, w *world) {
	b := w.browser(t)
	if res := b.get("/bff/login"); res.StatusCode != http.StatusFound {
		t.Errorf("login: %d", res.StatusCode)
	}
	if res := b.logIn(t, ""); res.StatusCode != http.StatusSeeOther {
		t.Errorf("callback: %d", res.StatusCode)
	}
}

func nowhereElse(t *testing.T, w *world) {
	for _, to := range append(elsewhere, "https://portal.test.evil.test/") {
		b := w.browser(t)
		if res := b.logIn(t, "return_to="+url.QueryEscape(to)); res.Header.Get("Location") != "/" {
			t.Errorf("%q leads to %q", to, res.Header.Get("Location"))
		}
	}
	b := w.browser(t)
	if res := b.logIn(t, "return_to="+url.QueryEscape("https://portal.test/x")); res.Header.Get("Location") != "https://portal.test/x" {
		t.Errorf("an origin that is allowed: %q", res.Header.Get("Location"))
	}
}

func cookieAttributes(t *testing.T, w *world) {
	b := w.browser(t)
	b.logIn(t, "")
	if len(b.Cookies) != 2 {
		t.Errorf("%v", b.Cookies)
	}
	for name, c := range b.Cookies {
		site, life := http.SameSiteLaxMode, 600
		if name == "__Host-Http-ic" {
			site, life = http.SameSiteStrictMode, 0
		}
		if !strings.HasPrefix(name, "__Host-Http-ic") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != site || c.MaxAge != life {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func cookieIsOpaque(t *testing.T, w *world) {
	b := w.browser(t)
	b.logIn(t, "")
	total := 0
	for _, c := range b.Cookies {
		if total += len(c.String()); strings.Contains(c.Value, ".") || strings.HasPrefix(c.Value, "eyJ") {
			t.Errorf("%s holds %q", c.Name, c.Value)
		}
	}
	if total > 1024 {
		t.Errorf("%d bytes of cookies", total)
	}
}

func newIDAtLogin(t *testing.T, w *world) {
	b := w.browser(t)
	planted := session.NewID().Cookie()
	b.Cookies["__Host-Http-ic"] = &http.Cookie{Name: "__Host-Http-ic", Value: planted}
	b.logIn(t, "")
	first := b.Cookies["__Host-Http-ic"].Value
	if first == planted {
		t.Fatal("a planted id was adopted")
	}
	b.logIn(t, "")
	if second := b.Cookies["__Host-Http-ic"].Value; second == first {
		t.Error("the id is the same after another login")
	}
	old, _ := session.ParseID(first)
	if _, err := w.Sessions.Get(t.Context(), old); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the session before lives on: %v", err)
	}
}

func manyTransactions(t *testing.T, w *world) {
	b := w.browser(t)
	var oldest, newest string
	for i := range 50 {
		if newest = b.begin(t, "return_to=/newest"); i == 0 {
			oldest = newest
		}
	}
	if len(b.Cookies) != 1 {
		t.Errorf("%d cookies after 50 logins", len(b.Cookies))
	}
	if res := b.get("/bff/callback?" + b.Login(oldest, "alice").Encode()); res.StatusCode != http.StatusBadRequest {
		t.Errorf("the oldest: %d", res.StatusCode)
	}
	if res := b.get("/bff/callback?" + b.Visit(newest).Encode()); res.Header.Get("Location") != "/newest" {
		t.Errorf("the newest: %d", res.StatusCode)
	}
}

// loginCSRF: neither a form nor an image nor a fetch on another site begins a login, and none without its cookie
// is finished.
func loginCSRF(t *testing.T, w *world) {
	b := w.browser(t)
	for _, mode := range []string{"no-cors", "cors", ""} {
		if res := b.get("/bff/login", "Sec-Fetch-Mode: "+mode); res.StatusCode != http.StatusBadRequest || len(b.Cookies) > 0 {
			t.Errorf("mode %q: %d, %d cookies", mode, res.StatusCode, len(b.Cookies))
		}
	}
	for _, ahead := range []string{"Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch"} {
		if res := b.get("/bff/login", ahead); res.StatusCode != http.StatusBadRequest || len(b.Cookies) > 0 {
			t.Errorf("%s: %d", ahead, res.StatusCode)
		}
	}
	back := b.Login(b.begin(t, ""), "alice")
	for _, ahead := range []string{"Sec-Purpose: prefetch", "Purpose: prefetch"} {
		if res := b.get("/bff/callback?"+back.Encode(), ahead); res.StatusCode != http.StatusBadRequest || b.Cookies["__Host-Http-ic"] != nil {
			t.Errorf("an answer, %s: %d", ahead, res.StatusCode)
		}
	}
	if res := b.Do("HEAD", "/bff/callback?"+back.Encode(), "", providertest.Navigate()...); res.StatusCode != http.StatusBadRequest || b.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("a question about an answer: %d", res.StatusCode)
	}
	if res := b.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther {
		t.Errorf("the answer itself: %d", res.StatusCode)
	}
	b = w.browser(t)
	if res := b.Do("HEAD", "/bff/login", "", providertest.Navigate()...); res.StatusCode != http.StatusBadRequest || len(b.Cookies) > 0 {
		t.Errorf("a question about it: %d", res.StatusCode)
	}

	back = b.Login(b.begin(t, ""), "alice")
	b.Cookies = map[string]*http.Cookie{}
	if res := b.get("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusBadRequest || len(b.Cookies) > 0 {
		t.Errorf("without the cookie: %d", res.StatusCode)
	}
}

func notFramed(t *testing.T, w *world) {
	b := w.browser(t)
	res := b.get("/bff/callback?state=none")
	if !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", res.Header)
	}
}

// logoutWhileLoggingIn: a logout that comes before the session is stored wins.
func logoutWhileLoggingIn(t *testing.T, w *world) {
	b := w.browser(t)
	b.logIn(t, "")
	s, err := b.session(t)
	must(t, err)
	back := b.Visit(b.begin(t, "")) // the same provider session, on its way
	_, err = w.Sessions.Logout(t.Context(), session.Logout{Issuer: s.Issuer, SID: s.SID, IssuedAt: time.Now()})
	must(t, err)
	b.get("/bff/callback?" + back.Encode())
	if _, err := b.session(t); err == nil {
		t.Error("a session began that was over already")
	}
}

// TestWithoutAuthTime: a provider need not say when the user showed who he is. After a logout of all that a user has, he gets
// in by another login, and not by one that was on its way.
func TestWithoutAuthTime(t *testing.T) {
	w := newWorld(t)
	w.idp.Break(openid.PathToken, w.idp.IDToken(providertest.Defect{Forge: func(f *providertest.Forgery) { delete(f.Claims, "auth_time") }}))
	logout := func(at time.Time) {
		_, err := w.Sessions.Logout(t.Context(), session.Logout{Issuer: w.idp.Issuer(), Subject: "alice", IssuedAt: at.Truncate(time.Second)})
		must(t, err)
	}
	logout(time.Now().Add(-2 * time.Second))
	b := w.browser(t)
	if res := b.logIn(t, ""); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("a login after the logout: %d", res.StatusCode)
	}
	back := b.Visit(b.begin(t, ""))
	logout(time.Now())
	b.get("/bff/callback?" + back.Encode())
	if _, err := b.session(t); err == nil {
		t.Error("a session began that was over already")
	}
}

// TestWhatLoginsLack: an operator is told, once, of a provider whose logins do not bring what the configuration counts on.
func TestWhatLoginsLack(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.browser(t).logIn(t, "")
	if log.Len() != 0 {
		t.Errorf("nothing is lacking: %s", &log)
	}
	w.Claims = []string{"name", "shoe_size"}
	w.idp.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { delete(a, "refresh_token") }))
	for range 2 {
		if res := w.browser(t).logIn(t, ""); res.StatusCode != http.StatusSeeOther {
			t.Errorf("%d", res.StatusCode)
		}
	}
	for _, words := range []string{"no refresh token", "shoe_size"} {
		if n := strings.Count(log.String(), words); n != 1 {
			t.Errorf("%q is said %d times: %s", words, n, &log)
		}
	}
	if strings.Contains(log.String(), "[name") {
		t.Errorf("a claim that is there is missed: %s", &log)
	}
}

func TestStartsAreBounded(t *testing.T) {
	b := newWorld(t).browser(t)
	var refused int
	for range 150 {
		if res := b.get("/bff/login"); res.StatusCode == http.StatusTooManyRequests && res.Header.Get("Retry-After") != "" {
			refused++
		}
	}
	if refused < 40 {
		t.Errorf("%d of 150 refused", refused)
	}
}

func TestUnknownHost(t *testing.T) {
	b := newWorld(t).browser(t)
	b.Host = "evil.test"
	if res := b.get("/bff/login"); res.StatusCode != http.StatusNotFound {
		t.Errorf("%d", res.StatusCode)
	}
}

// TestProviderAway: a clear page in place of the way to nobody, no loop, and no restart.
func TestProviderAway(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	back := b.Login(b.begin(t, "return_to=/orders/"), "alice")
	for _, endpoint := range []string{openid.PathToken, openid.PathDiscovery} {
		w.idp.Break(endpoint, providertest.Status(http.StatusServiceUnavailable, 0))
	}
	w.refuses(t, b, "/bff/callback?"+back.Encode(), "/bff/login?return_to=%2Forders%2F") // and nobody goes by what was heard before
	w.refuses(t, b, "/bff/login?return_to=%2Forders%2F", "/bff/login?return_to=%2Forders%2F")
	// Who only wanted to know is led back, as from a provider that knows nobody.
	if res := b.get("/bff/login?prompt=none&return_to=/orders"); res.StatusCode != http.StatusFound || res.Header.Get("Location") != "/orders" {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	w.idp.Heal()
	for deadline := time.Now().Add(30 * time.Second); b.get("/bff/login").StatusCode != http.StatusFound; {
		if time.Now().After(deadline) {
			t.Fatal("it is back, and nobody can log in")
		}
		<-time.After(50 * time.Millisecond)
	}
}

// refuses: nobody can log in, and again leads there again.
func (w *world) refuses(t *testing.T, b *tab, path, again string) {
	t.Helper()
	res := b.get(path)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	for _, word := range []string{"Signing in is not possible now", "provider_unavailable", `href="` + again + `"`} {
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(string(text), word) {
			t.Errorf("%s: %d %v %s", path, res.StatusCode, res.Header, text)
		}
	}
}
