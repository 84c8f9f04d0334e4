package bff_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// TestPagesForNavigations: who opens a page is told in a page, in the browser's language, with the code for who is
// asked for help; a script gets a problem.
func TestPagesForNavigations(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.refuse = fault.New(fault.InvalidTarget, "TARGET_UNKNOWN", "no")
	for path, c := range map[string]struct {
		status int
		words  string
	}{
		"/orders/1":      {http.StatusBadGateway, "<h1>Not available</h1>|another try will not help|token_exchange_failed"},
		"/orders/secret": {http.StatusForbidden, "<h1>No access</h1>|policy_denied"},
		"/what":          {http.StatusNotFound, "<h1>Not found</h1>|route_unknown"},
		"/bff/silent":    {http.StatusForbidden, "<h1>No access</h1>|origin_not_allowed"}, // nothing was sent
	} {
		res := b.navigate(path)
		for word := range strings.SplitSeq(c.words, "|") {
			if res.StatusCode != c.status || !strings.Contains(res.text, word) || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
			}
		}
	}
}

// TestForms: who has sent a form that was not taken sees why, and a way on; a script gets the problem.
func TestForms(t *testing.T) {
	w := newWorld(t)
	form := func(b *tab, headers ...string) answer {
		return read(t, b.Do(http.MethodPost, "/orders/1", "a=b", append(append(providertest.Navigate(), "Origin: https://icom.test"), headers...)...))
	}
	b := w.alice(t)
	expired := w.alice(t)
	must(t, w.Sessions.End(t.Context(), expired.session(), session.ReasonExpired))
	for name, c := range map[string]struct {
		answer
		status int
		words  string
	}{
		"without a token":     {form(b), http.StatusForbidden, "load the page again|csrf_failed"},
		"from another origin": {form(b, "Origin: https://evil.icom.test", "Sec-Fetch-Site: same-site"), http.StatusForbidden, "load the page again|origin_not_allowed"},
		"the session is over": {form(expired, "Referer: https://icom.test/orders/new?x=1"), http.StatusUnauthorized,
			`no longer signed in|session_expired|href="/bff/login?return_to=https%3A%2F%2Ficom.test%2Forders%2Fnew%3Fx%3D1"`},
		"nobody":            {form(w.tab(t), "Referer: https://icom.test.evil.test/"), http.StatusUnauthorized, `href="/bff/login?return_to=%2Fportal%2F"`},
		"from another site": {form(w.tab(t), "Sec-Fetch-Site: cross-site", "Origin: https://evil.test"), http.StatusUnauthorized, "does not belong here"},
	} {
		for word := range strings.SplitSeq(c.words, "|") {
			if c.StatusCode != c.status || !strings.Contains(c.text, word) || c.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: %d %s", name, c.StatusCode, c.text)
			}
		}
		if c.status == http.StatusUnauthorized && c.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %v", name, c.Header)
		}
	}
	if res := b.fetch(http.MethodPost, "/orders/1"); res.code() != "csrf_failed" {
		t.Errorf("a script: %s", res.text)
	}
}

// TestWhereHomeIs: the way on from a page of ours leads to the origin's home, and from there nowhere.
func TestWhereHomeIs(t *testing.T) {
	b := newWorld(t).tab(t)
	if text := b.navigate("/what").text; !strings.Contains(text, `href="/portal/"`) {
		t.Error(text)
	}
	if text := b.navigate("/portal/").text; !strings.Contains(text, "Not found") || strings.Contains(text, "href") {
		t.Error(text)
	}
}

// TestWhyThereIsNoToken: the problem says for whom a token was asked, and the word of those who did not give it.
func TestWhyThereIsNoToken(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.refuse = fault.New(fault.InvalidTarget, "TARGET_UNKNOWN", "no")
	for path, want := range map[string][2]string{"/orders/1": {"orders", "target_unknown"}, "/lost/1": {"elsewhere", "token_exchange_or_session_ended"}} {
		var got struct{ Code, Audience, Reason string }
		res := b.fetch(http.MethodGet, path)
		must(t, json.Unmarshal([]byte(res.text), &got))
		if got.Code != "token_exchange_failed" || got.Audience != want[0] || got.Reason != want[1] {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
}
