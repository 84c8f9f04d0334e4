package providersuite

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// login: nobody is served before, the provider gets all that binds its answer to this login, and the policy knows the groups.
func (w *World) login(t *testing.T) {
	alice := w.Person(t)
	if res := alice.Fetch(http.MethodGet, "/own/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Text, "login_required") {
		t.Fatalf("before the login: %s %s", res.Status, res.Text)
	}
	w.asks(t)
	if got := alice.Login("alice").Claims(t); got["iss"] != w.Provider.Issuer {
		t.Errorf("the token of the login is %v", got)
	}
	if s := alice.State(); !s.Authenticated || s.Claims["preferred_username"] != "alice" {
		t.Errorf("the session: %+v", s)
	}
	if res := w.Person(t).Login("bob"); res.StatusCode != http.StatusForbidden || !strings.Contains(res.Text, "policy_denied") {
		t.Errorf("bob is not in staff: %s %.300s", res.Status, res.Text)
	}
}

// asks looks at the request that a browser carries to the provider.
func (w *World) asks(t *testing.T) {
	t.Helper()
	p := w.Person(t)
	p.StopBefore(func(to *url.URL) bool { return to.Host != p.origin().Host })
	to, err := p.Navigate("/bff/login").Location()
	must(t, err)
	q := to.Query()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 43 {
			t.Errorf("%s=%q is not hard to guess", name, q.Get(name))
		}
	}
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Has("response_mode") || q.Has("client_secret") {
		t.Errorf("the request: %v", q)
	}
}

// prompts: who is logged in at the provider gets in without a question, who is not is led back, and who is to show again who
// he is does so.
func (w *World) prompts(t *testing.T) {
	alice := w.Person(t)
	if at := alice.Navigate("/bff/login?prompt=none&return_to=/bff/session"); at.Request.URL.Path != "/bff/session" || alice.State().Authenticated {
		t.Errorf("before the login: %s %s %.300s", at.Request.URL, at.Status, at.Text)
	}
	alice.Login("alice").Claims(t)
	alice.forget()
	alice.Navigate("/bff/login?prompt=none&return_to=/own/1").Claims(t)
	again := alice.Navigate("/bff/login?prompt=login&return_to=/own/1")
	if again.Request.URL.Host == alice.origin().Host {
		t.Fatalf("alice is not asked again: %s %.300s", again.Request.URL, again.Text)
	}
	alice.Submit(again, alice.form("alice")).Claims(t)
}

// forget takes the session's cookie from the browser.
func (p *Person) forget() {
	p.HTTP.Jar.SetCookies(p.origin(), []*http.Cookie{{Name: "__Host-Http-ic", Path: "/", Secure: true, MaxAge: -1}})
}

// stolen: an answer is good once, in the browser that it is for, from the provider that was asked, and a code for whom the
// login is (RFC 9700, sections 2.1 and 4.5; RFC 9207).
func (w *World) stolen(t *testing.T) {
	alice := w.Person(t)
	back := alice.Callback("alice")
	if back.Query().Get("iss") != w.Provider.Issuer {
		t.Errorf("the answer names %q", back.Query().Get("iss"))
	}
	w.refused(t, w.Person(t).Navigate(back.String()), login.ReasonBrowser)
	alice.Navigate(back.String()).Claims(t) // who has seen it has not spent it
	alice.forget()
	w.refused(t, alice.Navigate(back.String()), login.ReasonUnknown)

	back = alice.Callback("alice")
	w.refused(t, alice.Navigate(replaced(back, "iss", "https://evil.example")), provider.ReasonIssuer)
	mallory := w.Person(t)
	code := mallory.Callback("bob").Query().Get("code")
	alice.Navigate(replaced(alice.Callback("alice"), "code", code)).Claims(t) // by a second try
	if got := alice.State().Claims["preferred_username"]; got != "alice" {
		t.Errorf("with another's code alice is %v", got)
	}
	alice.forget()

	code = alice.Callback("alice").Query().Get("code")
	if status, answer := w.redeem(t, code); status != http.StatusBadRequest || !strings.Contains(answer, "invalid_grant") {
		t.Errorf("a code without its verifier: %d %s", status, answer)
	}
}

// overtaken: a login whose session at the provider ends before the gateway hears of it, since somebody logs out in another tab,
// is begun once more by itself. Nobody reads that it did not work.
func (w *World) overtaken(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	back := alice.Callback("alice")
	w.confirmed(alice)(alice.Navigate(alice.Logout()))
	page := alice.Navigate(back.String())
	if !strings.Contains(page.Text, `name="password"`) {
		t.Fatalf("%s: %s %.300s", page.Request.URL, page.Status, page.Text)
	}
	alice.Submit(page, alice.form("alice")).Claims(t)
}

// refused expects a page, and no session.
func (w *World) refused(t *testing.T, page Answer, code string) {
	t.Helper()
	if page.StatusCode < http.StatusBadRequest || !strings.Contains(page.Text, "The sign-in could not be completed") || !strings.Contains(page.Text, strings.ToLower(code)) {
		t.Errorf("want a page with %q, got %s %s", code, page.Status, page.Text)
	}
	for _, c := range page.Cookies() {
		if c.Name == "__Host-Http-ic" && c.Value != "" {
			t.Error("a session began")
		}
	}
}

// redeem is a thief who has a code, and even the client's secret.
func (w *World) redeem(t *testing.T, code string) (status int, answer string) {
	t.Helper()
	secret, err := os.ReadFile(w.Provider.Secret.Name)
	must(t, err)
	c := w.Person(t)
	var metadata struct {
		Token string `json:"token_endpoint"`
	}
	must(t, json.Unmarshal([]byte(c.Navigate(w.Provider.Issuer+"/.well-known/openid-configuration").Text), &metadata))
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.Origin() + "/bff/callback"}, "code_verifier": {strings.Repeat("x", 43)}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, metadata.Token, strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(w.Provider.ClientID, string(secret))
	res, err := c.HTTP.Do(r)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(text)
}

// replaced is u with another value in its query.
func replaced(u *url.URL, name, value string) string {
	q, changed := u.Query(), *u
	q.Set(name, value)
	changed.RawQuery = q.Encode()
	return changed.String()
}
