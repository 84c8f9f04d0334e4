package logout_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/logout"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/secret"
)

// world is a gateway's ways in and out, on a real provider.
type world struct {
	*logout.Handler
	idp *providertest.Server
	mux *http.ServeMux
}

func newWorld(t testing.TB, change func(*logout.Handler)) *world {
	t.Helper()
	idp := providertest.New(t, openid.Config{Clients: []openid.Client{{
		ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{"https://icom.test/bff/callback"},
		PostLogoutRedirectURIs: []string{"https://icom.test/bff/logout/return"},
	}}})
	p, err := provider.Open(context.Background(), provider.Config{
		Issuer: idp.Issuer(), ClientID: "gateway", RootCAs: idp.RootCAs(),
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
	origins := route.Origins{{URL: "https://icom.test", CORS: []string{"https://app.test"}}}
	w := &world{idp: idp, mux: http.NewServeMux(), Handler: &logout.Handler{
		Provider: p, Sessions: sessions, Pages: pages, Origins: origins, Cookie: login.Cookie, Forget: login.Forget, ReturnTo: login.ReturnTo,
		Share: bff.AddCORS, Preflight: bff.Preflight, HeaderCSRF: bff.HeaderCSRF, PublicName: func(id session.ID) string { return bff.PublicID([]byte(id.Cookie())) },
		CheckCSRF: func(r *http.Request, o route.Origin, id session.ID, token string) error {
			return bff.CheckCSRF(r, o, id, token)
		},
		Failures: &logout.Failures{}, RevokeAfter: 50 * time.Millisecond,
	}}
	if change != nil {
		change(w.Handler)
	}
	w.Mount(w.mux)
	(&login.Handler{Provider: p, Sessions: sessions, Store: login.NewMemory(nil), Pages: pages, Origins: origins}).Mount(w.mux)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tab is a browser that alice has logged in with.
type tab struct {
	*providertest.Tab
	w *world
}

func (w *world) tab(t *testing.T) *tab {
	t.Helper()
	b := &tab{w.idp.Tab(t, w.mux, "icom.test"), w}
	back := b.Login(b.Do("GET", "/bff/login", "", navigate...).Header.Get("Location"), "alice")
	if res := b.Do("GET", "/bff/callback?"+back.Encode(), "", navigate...); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("login: %d", res.StatusCode)
	}
	return b
}

var (
	navigate, script = providertest.Navigate(), providertest.Fetch("https://icom.test")
	elsewhere        = append(navigate, "Sec-Fetch-Site: cross-site")
)

func (b *tab) id(t *testing.T) session.ID {
	t.Helper()
	id, ok := session.ParseID(b.Cookies["__Host-Http-ic"].Value)
	if !ok {
		t.Fatal("no session cookie")
	}
	return id
}

func (b *tab) csrf(t *testing.T) string {
	return bff.CSRFToken([]byte(b.id(t).Cookie()))
}

func (w *world) alive(t *testing.T, id session.ID) bool {
	t.Helper()
	_, err := w.Sessions.Get(t.Context(), id)
	if err != nil && !errors.Is(err, fault.Unauthenticated) {
		t.Fatal(err)
	}
	return err == nil
}

// send sends a logout token, as the provider does.
func (w *world) send(t *testing.T, token string) *http.Response {
	t.Helper()
	b := w.idp.Tab(t, w.mux, "icom.test")
	return b.Do("POST", "/bff/backchannel-logout", url.Values{"logout_token": {token}}.Encode())
}

func TestConformance(t *testing.T) {
	for id, test := range map[string]func(*testing.T){
		"RPL-1": toTheProvider, "RPL-2": stateOnReturn, "RPL-3": providerAway, "CSRF-4": forcedLogout, "TOK-4": tokenIsTakenBack,
		"BCL-1": oneMethod, "BCL-6": idTokenIsNone, "BCL-7": replayed, "BCL-9": sidAndSub, "BCL-10": answers, "BCL-11": slowCleanUp, "BCL-13": bounded, "FCL-1": frames,
	} {
		t.Run(id, test)
	}
}

// toTheProvider: the whole way, without a page that asks.
func toTheProvider(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	res := b.Do("POST", "/bff/logout", "csrf_token="+b.csrf(t)+"&return_to=/bye", append(navigate, "Origin: https://icom.test")...)
	to, err := url.Parse(res.Header.Get("Location"))
	must(t, err)
	q := to.Query()
	if res.StatusCode != http.StatusSeeOther || q.Get("id_token_hint") == "" || q.Get("client_id") != "gateway" || q.Get("state") == "" ||
		q.Get("post_logout_redirect_uri") != "https://icom.test/bff/logout/return" {
		t.Fatalf("%d to %v", res.StatusCode, to)
	}
	if w.alive(t, id) || b.Cookies["__Host-Http-ic"] != nil {
		t.Error("the session lives on")
	}
	back := b.Visit(to.String())
	if res := b.Do("GET", "/bff/logout/return?"+back.Encode(), "", navigate...); res.Header.Get("Location") != "/bye" {
		t.Errorf("back: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	again := b.Visit(b.Do("GET", "/bff/login?prompt=none", "", navigate...).Header.Get("Location"))
	if again.Get("error") != "login_required" {
		t.Errorf("at the provider: %v", again)
	}
}

// TestOldCookie: who kept the cookie of a session that its user ended learns nothing by it; of one that was ended
// from elsewhere the user may still be logged out at the provider.
func TestOldCookie(t *testing.T) {
	w := newWorld(t, nil)
	hint := func(end func(b *tab)) bool {
		b := w.tab(t)
		cookie, token := b.Cookies["__Host-Http-ic"], b.csrf(t)
		end(b)
		b.Cookies["__Host-Http-ic"] = cookie
		res := b.Do("POST", "/bff/logout", "", append(script, bff.HeaderCSRF+": "+token)...)
		text, err := io.ReadAll(res.Body)
		must(t, err)
		if res.StatusCode != http.StatusOK || !strings.Contains(string(text), w.idp.Issuer()) {
			t.Errorf("%d %s", res.StatusCode, text)
		}
		return strings.Contains(string(text), "id_token_hint")
	}
	if hint(func(b *tab) { b.Do("POST", "/bff/logout", "", append(script, bff.HeaderCSRF+": "+b.csrf(t))...) }) {
		t.Error("the ID token is told again after a logout")
	}
	if !hint(func(b *tab) {
		s, err := w.Sessions.Get(t.Context(), b.id(t))
		must(t, err)
		must(t, w.Sessions.End(t.Context(), s, session.ReasonOperator))
	}) {
		t.Error("no hint for a session that an operator ended")
	}
}

func stateOnReturn(t *testing.T) {
	b := newWorld(t, nil).tab(t)
	b.Do("POST", "/bff/logout", "csrf_token="+b.csrf(t)+"&return_to=/bye", append(navigate, "Origin: https://icom.test")...)
	if res := b.Do("GET", "/bff/logout/return?state=forged", "", navigate...); res.Header.Get("Location") != "/" {
		t.Errorf("a forged state leads to %q", res.Header.Get("Location"))
	}
}

func providerAway(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	var got struct {
		LogoutURL       string `json:"logout_url"`
		ProviderSession string `json:"provider_session"`
	}
	w.idp.CloseConnections()
	for _, endpoint := range []string{"/revoke", "/logout", "/token"} {
		w.idp.Break(endpoint, providertest.Status(http.StatusServiceUnavailable, 0))
	}
	res := b.Do("POST", "/bff/logout", "", append(script, bff.HeaderCSRF+": "+b.csrf(t))...)
	must(t, json.NewDecoder(res.Body).Decode(&got))
	if res.StatusCode != http.StatusOK || w.alive(t, id) || b.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("%d %+v", res.StatusCode, got)
	}
	// Where not even its metadata come, nobody is sent there, and told so.
	w.idp.Heal()
	b, form := w.tab(t), w.tab(t)
	for _, endpoint := range []string{openid.PathRevoke, openid.PathLogout, openid.PathDiscovery} {
		w.idp.Break(endpoint, providertest.Status(http.StatusServiceUnavailable, 0))
	}
	w.doubt(t)
	res = b.Do("POST", "/bff/logout?return_to=/bye", "", append(script, bff.HeaderCSRF+": "+b.csrf(t))...)
	must(t, json.NewDecoder(res.Body).Decode(&got))
	here, ok := strings.CutPrefix(got.LogoutURL, "https://icom.test")
	if res.StatusCode != http.StatusOK || !ok || got.ProviderSession != "unknown" || b.Cookies["__Host-Http-ic"] != nil {
		t.Errorf("%d %+v", res.StatusCode, got)
	}
	res = b.Do("GET", here, "", navigate...)
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), "may still be signed in") || !strings.Contains(string(text), `href="/bye"`) {
		t.Errorf("%d %s %v", res.StatusCode, text, err)
	}
	if res = b.Do("GET", here, "", navigate...); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/" {
		t.Errorf("a link to what is over, or of somebody else's: %d %v", res.StatusCode, res.Header)
	}
	res = form.Do("POST", "/bff/logout", "csrf_token="+form.csrf(t), append(navigate, "Origin: https://icom.test")...)
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(text), "may still be signed in") {
		t.Errorf("%d %s %v", res.StatusCode, text, err)
	}
}

// doubt lets a call fail, so that nobody goes by what was heard before.
func (w *world) doubt(t *testing.T) {
	t.Helper()
	if err := w.Provider.Revoke(t.Context(), secret.FromString("x")); err == nil {
		t.Fatal("it answers")
	}
}

// forcedLogout: no other site can log a user out.
func forcedLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	for name, res := range map[string]*http.Response{
		"a link":             b.Do("GET", "/bff/logout", "", elsewhere...),
		"a guess":            b.Do("GET", "/bff/logout?sid=x", "", navigate...),
		"a form":             b.Do("POST", "/bff/logout", "a=b", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: same-site", "Origin: https://evil.icom.test"),
		"our form, no token": b.Do("POST", "/bff/logout", "a=b", append(navigate, "Origin: https://icom.test")...),
	} {
		if res.StatusCode != http.StatusForbidden || !w.alive(t, id) {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	for name, headers := range unasked() {
		if res := b.Do("GET", "/bff/logout?sid="+w.PublicName(id), "", headers...); res.StatusCode != http.StatusBadRequest || !w.alive(t, id) {
			t.Errorf("a link of ours, %s: %d", name, res.StatusCode)
		}
	}
	if res := b.Do("HEAD", "/bff/logout?sid="+w.PublicName(id), "", navigate...); res.StatusCode != http.StatusBadRequest || !w.alive(t, id) {
		t.Errorf("a question about a link of ours: %d", res.StatusCode)
	}
	if res := b.Do("GET", "/bff/logout?sid="+w.PublicName(id), "", navigate...); res.StatusCode != http.StatusSeeOther || w.alive(t, id) {
		t.Errorf("a link of ours: %d", res.StatusCode)
	}
	if res := b.Do("GET", "/bff/logout", "", navigate...); res.StatusCode != http.StatusOK {
		t.Errorf("who is logged out already: %d", res.StatusCode)
	}
}

// unasked are the requests that nobody makes who wants to be logged out.
func unasked() map[string][]string {
	return map[string][]string{
		"loaded ahead":            append(navigate, "Sec-Purpose: prefetch"),
		"ahead, in old Chromes":   append(navigate, "Purpose: prefetch"),
		"ahead, in old Firefoxes": append(navigate, "X-Moz: prefetch"),
		"ahead, in old Safaris":   append(navigate, "X-Purpose: preview"),
		"a prefetch as it was":    {"Purpose: prefetch"},
		"an image":                {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-Fetch-Site: cross-site"},
		"a fetch":                 script,
	}
}

func tokenIsTakenBack(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	b.Do("POST", "/bff/logout", "", append(script, bff.HeaderCSRF+": "+b.csrf(t))...)
	if n := len(w.idp.Calls("/revoke")); n != 0 {
		t.Error("it is taken back before the browser can be at the provider")
	}
	eventually(t, "the refresh token is taken back", func() bool { return len(w.idp.Calls("/revoke")) == 1 })
}

func oneMethod(t *testing.T) {
	b := newWorld(t, nil).tab(t)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if res := b.Do(method, "/bff/backchannel-logout", ""); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
}

// idTokenIsNone, and neither is any other thing that the provider has signed.
func idTokenIsNone(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	s, err := w.Sessions.Get(t.Context(), b.id(t))
	must(t, err)
	for _, raw := range []string{string(s.Tokens.ID.Reveal()), string(s.Tokens.Access.Reveal()), ""} {
		if res := w.send(t, raw); res.StatusCode != http.StatusBadRequest || !w.alive(t, b.id(t)) {
			t.Errorf("%d", res.StatusCode)
		}
	}
	for _, d := range providertest.LogoutDefects() {
		if res := w.send(t, w.idp.LogoutToken("gateway", s.Subject, s.SID, d)); res.StatusCode == http.StatusOK || !w.alive(t, b.id(t)) {
			t.Errorf("%+v: %d", d, res.StatusCode)
		}
	}
}

func replayed(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	s, err := w.Sessions.Get(t.Context(), b.id(t))
	must(t, err)
	token := w.idp.LogoutToken("gateway", s.Subject, "")
	if res := w.send(t, token); res.StatusCode != http.StatusOK || w.alive(t, b.id(t)) {
		t.Fatalf("%d", res.StatusCode)
	}
	time.Sleep(1100 * time.Millisecond) // iat counts seconds: the next login is a later one
	next := w.tab(t)
	if res := w.send(t, token); res.StatusCode != http.StatusOK || !w.alive(t, next.id(t)) {
		t.Errorf("again: %d, and the new session lives: %t", res.StatusCode, w.alive(t, next.id(t)))
	}
}

func sidAndSub(t *testing.T) {
	w := newWorld(t, nil)
	one, two := w.tab(t), w.tab(t)
	s, err := w.Sessions.Get(t.Context(), one.id(t))
	must(t, err)
	if res := w.send(t, w.idp.LogoutToken("gateway", s.Subject, s.SID)); res.StatusCode != http.StatusOK || w.alive(t, one.id(t)) || !w.alive(t, two.id(t)) {
		t.Errorf("by sid: %d, %t, %t", res.StatusCode, w.alive(t, one.id(t)), w.alive(t, two.id(t)))
	}
	three := w.tab(t)
	if res := w.send(t, w.idp.LogoutToken("gateway", s.Subject, "")); res.StatusCode != http.StatusOK || w.alive(t, two.id(t)) || w.alive(t, three.id(t)) {
		t.Errorf("by sub: %d", res.StatusCode)
	}
}

func answers(t *testing.T) {
	w := newWorld(t, nil)
	res := w.send(t, w.idp.LogoutToken("gateway", "nobody", "unknown"))
	if res.StatusCode != http.StatusOK || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an unknown session: %d %v", res.StatusCode, res.Header)
	}
	res = w.send(t, "x")
	body, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusBadRequest || res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(string(body), `"error":"invalid_request"`) {
		t.Errorf("no token: %d %s", res.StatusCode, body)
	}
}

// slowCleanUp: the provider has its answer, whatever is to be cleaned up there.
func slowCleanUp(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	s, err := w.Sessions.Get(t.Context(), b.id(t))
	must(t, err)
	w.idp.Break(openid.PathRevoke, providertest.Hang())
	began := time.Now()
	if res := w.send(t, w.idp.LogoutToken("gateway", s.Subject, s.SID)); res.StatusCode != http.StatusOK || w.alive(t, b.id(t)) {
		t.Errorf("%d", res.StatusCode)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("answered after %v", took)
	}
	eventually(t, "the refresh token is taken back", func() bool { return len(w.idp.Calls(openid.PathRevoke)) == 1 })
}

// bounded: forged tokens are slowed, a good one never is, and a huge one is not read.
func bounded(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	var slowed int
	for range 60 {
		if res := w.send(t, "forged"); res.StatusCode == http.StatusTooManyRequests {
			slowed++
		}
	}
	if slowed < 20 {
		t.Errorf("%d of 60 slowed", slowed)
	}
	if res := w.send(t, strings.Repeat("x", 20<<10)); res.StatusCode == http.StatusOK {
		t.Error("a huge one is taken")
	}
	s, err := w.Sessions.Get(t.Context(), b.id(t))
	must(t, err)
	if res := w.send(t, w.idp.LogoutToken("gateway", s.Subject, s.SID)); res.StatusCode != http.StatusOK || w.alive(t, b.id(t)) {
		t.Errorf("a good one: %d", res.StatusCode)
	}
}

func frames(t *testing.T) {
	w := newWorld(t, func(h *logout.Handler) { h.FrontChannel = true })
	b := w.tab(t)
	s, err := w.Sessions.Get(t.Context(), b.id(t))
	must(t, err)
	frame := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: same-site"}
	ask := func(iss, sid string) *http.Response {
		return b.Do("GET", "/bff/frontchannel-logout?"+url.Values{"iss": {iss}, "sid": {sid}}.Encode(), "", frame...)
	}
	for _, c := range [][2]string{{"https://evil.test", s.SID}, {"", s.SID}, {s.Issuer, ""}} {
		if res := ask(c[0], c[1]); res.StatusCode != http.StatusBadRequest || !w.alive(t, b.id(t)) {
			t.Errorf("%v: %d", c, res.StatusCode)
		}
	}
	if res := ask(s.Issuer, "another"); res.StatusCode != http.StatusOK || !w.alive(t, b.id(t)) {
		t.Errorf("another session: %d", res.StatusCode)
	}
	id := b.id(t)
	for name, headers := range unasked() {
		res := b.Do("GET", "/bff/frontchannel-logout?"+url.Values{"iss": {s.Issuer}, "sid": {s.SID}}.Encode(), "", headers...)
		if res.StatusCode != http.StatusBadRequest || !w.alive(t, id) {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if res := b.Do("HEAD", "/bff/frontchannel-logout?"+url.Values{"iss": {s.Issuer}, "sid": {s.SID}}.Encode(), "", frame...); res.StatusCode != http.StatusBadRequest || !w.alive(t, id) {
		t.Errorf("a question: %d", res.StatusCode)
	}
	res := ask(s.Issuer, s.SID)
	if policy := res.Header.Get("Content-Security-Policy"); res.StatusCode != http.StatusOK || w.alive(t, id) || res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(policy, "frame-ancestors https://127.0.0.1") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	off := newWorld(t, nil).tab(t)
	if res := off.Do("GET", "/bff/frontchannel-logout?iss=a&sid=b", "", frame...); res.StatusCode != http.StatusNotFound {
		t.Errorf("where it is off: %d", res.StatusCode)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}

// FuzzLogoutToken: whatever comes, it is answered, and no session ends by it.
func FuzzLogoutToken(f *testing.F) {
	f.Add("application/x-www-form-urlencoded", "logout_token=eyJhbGciOiJub25lIn0.e30.")
	f.Add("application/x-www-form-urlencoded", "logout_token=a&logout_token=b")
	f.Add("multipart/form-data; boundary=x", "--x--")
	f.Add("", "\x00%zz")
	w := newWorld(f, nil)
	f.Fuzz(func(t *testing.T, kind, body string) {
		r := httptest.NewRequest(http.MethodPost, "/bff/backchannel-logout", strings.NewReader(body))
		r.Header.Set("Content-Type", kind)
		rec := httptest.NewRecorder()
		w.mux.ServeHTTP(rec, r)
		if rec.Code != http.StatusBadRequest && rec.Code != http.StatusTooManyRequests {
			t.Errorf("%q %q: %d", kind, body, rec.Code)
		}
	})
}
