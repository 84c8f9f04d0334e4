package login_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// TestSecondTry: a login that went by a session which was just ending is begun once more, the same and by itself, and only once;
// in a frame, where nobody could log in, not at all.
func TestSecondTry(t *testing.T) {
	refuse := providertest.Refuse(http.StatusBadRequest, "invalid_grant", "Session not active")
	for name, c := range map[string]struct {
		fault  providertest.Fault
		change func(url.Values) // of the answer
		over   bool             // a logout comes first
		frame  bool
		again  bool
	}{
		"the code is spent":                  {fault: refuse, again: true},
		"the provider ended the session":     {over: true, again: true},
		"the login page has expired":         {change: refusal("temporarily_unavailable", "authentication_expired"), again: true},
		"a frame":                            {fault: refuse, frame: true},
		"the provider has too much to do":    {change: refusal("temporarily_unavailable", "")},
		"the user does not want to":          {change: refusal("access_denied", "")},
		"the provider does not know us":      {fault: providertest.Refuse(http.StatusUnauthorized, "invalid_client", "")},
		"the ID token is another provider's": {fault: nil, change: func(q url.Values) { q.Set("iss", "https://evil.test") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser(t)
			b.logIn(t, "")
			s, err := b.session(t)
			must(t, err)
			delete(b.Cookies, "__Host-Http-ic")
			fail := func(to string) *http.Response {
				back := b.Visit(to)
				if c.change != nil {
					c.change(back)
				}
				if c.over {
					_, err := w.Sessions.Logout(t.Context(), session.Logout{Issuer: s.Issuer, SID: s.SID, IssuedAt: time.Now()})
					must(t, err)
				}
				if c.fault != nil {
					w.idp.Break(openid.PathToken, c.fault)
				}
				if c.frame {
					return b.get("/bff/callback?"+back.Encode(), "Sec-Fetch-Dest: iframe")
				}
				return b.get("/bff/callback?" + back.Encode())
			}
			res := fail(b.begin(t, "return_to=/orders&acr="+s.ACR))
			to, err := res.Location()
			if again := err == nil && strings.HasPrefix(to.String(), w.idp.Issuer()); again != c.again || b.Cookies["__Host-Http-ic"] != nil {
				t.Fatalf("%d to %v", res.StatusCode, to)
			}
			if !c.again {
				return
			}
			if q := to.Query(); res.StatusCode != http.StatusSeeOther || q.Get("acr_values") != s.ACR || q.Get("redirect_uri") != "https://icom.test/bff/callback" {
				t.Errorf("%d to %v", res.StatusCode, to)
			}
			if res := fail(to.String()); res.StatusCode < http.StatusBadRequest || b.Cookies["__Host-Http-ic"] != nil {
				t.Errorf("the second time: %d", res.StatusCode)
			}
		})
	}
}

// refusal is an answer of the provider's that says no.
func refusal(code, description string) func(url.Values) {
	return func(q url.Values) {
		q.Del("code")
		q.Set("error", code)
		q.Set("error_description", description)
	}
}

// TestSecondTryEndsWell, where the first would have led.
func TestSecondTryEndsWell(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	back := b.Login(b.begin(t, "return_to=/orders"), "alice")
	w.idp.Break(openid.PathToken, providertest.Times(1, providertest.Refuse(http.StatusBadRequest, "invalid_grant", "")))
	again := b.Visit(b.get("/bff/callback?" + back.Encode()).Header.Get("Location"))
	if res := b.get("/bff/callback?" + again.Encode()); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders" || b.Cookies["__Host-Http-ic"] == nil {
		t.Errorf("%d to %q", res.StatusCode, res.Header.Get("Location"))
	}
}
