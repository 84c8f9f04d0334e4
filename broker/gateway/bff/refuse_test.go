package bff_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
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
	} {
		res := b.navigate(path)
		for word := range strings.SplitSeq(c.words, "|") {
			if res.StatusCode != c.status || !strings.Contains(res.text, word) || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
			}
		}
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
