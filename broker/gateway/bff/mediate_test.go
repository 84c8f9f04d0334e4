package bff_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// TestMediation: no page holds a token, but for the audiences that the file names, with the session's CSRF token, and
// where policy allows it to gateway and user.
func TestMediation(t *testing.T) {
	w := newWorld(t)
	b, bob := w.alice(t), w.tab(t).logIn("bob")
	csrf := bff.HeaderCSRF + ": " + b.state().CSRF
	ask := func(who *tab, audience string, headers ...string) answer {
		return who.fetch(http.MethodGet, "/bff/token?audience="+audience, headers...)
	}
	if res := ask(b, "nextcloud", csrf); res.StatusCode != http.StatusForbidden || res.code() != "audience_not_allowed" {
		t.Errorf("where the file says nothing: %d %s", res.StatusCode, res.text)
	}
	w.Origins[0].Tokens = []string{"nextcloud", "elsewhere"}
	for name, c := range map[string]struct {
		got    answer
		status int
		code   string
	}{
		"another audience":  {ask(b, "intercom", csrf), 403, "audience_not_allowed"},
		"no audience":       {ask(b, "", csrf), 403, "audience_not_allowed"},
		"no CSRF token":     {ask(b, "nextcloud"), 403, "csrf_failed"},
		"another's":         {ask(b, "nextcloud", bff.HeaderCSRF+": "+bob.state().CSRF), 403, "csrf_failed"},
		"another origin":    {ask(b, "nextcloud", csrf, "Origin: https://evil.test"), 403, "origin_not_allowed"},
		"nobody":            {ask(w.tab(t), "nextcloud", csrf), 401, "login_required"},
		"policy":            {ask(bob, "nextcloud", bff.HeaderCSRF+": "+bob.state().CSRF), 403, "policy_denied"},
		"the provider's no": {ask(b, "elsewhere", csrf), 502, "token_exchange_failed"},
	} {
		if c.got.StatusCode != c.status || c.got.code() != c.code || strings.Contains(c.got.text, "access_token") {
			t.Errorf("%s: %d %s", name, c.got.StatusCode, c.got.text)
		}
	}
	var got struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	res := ask(b, "nextcloud", csrf, "Origin: https://app.test", "Sec-Fetch-Site: same-site")
	must(t, json.Unmarshal([]byte(res.text), &got))
	if res.StatusCode != http.StatusOK || strings.Count(got.Token, ".") != 2 || got.Expires < 60 || got.Expires > 300 ||
		res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Access-Control-Allow-Origin") != "https://app.test" {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, res.text)
	}
}
