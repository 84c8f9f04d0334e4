package bff_test

import (
	"net/http"
	"testing"
)

// TestRedirectAway: a service that redirects wherever it is told to does not get the token out, whoever has set the field, and
// its other answers pass as they are.
func TestRedirectAway(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	token := "X-CSRF-Token: " + b.state().CSRF
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		res := b.fetch(method, "/orders/1?to=https://evil.test/", token, "Origin: https://app.test")
		if res.StatusCode != http.StatusTemporaryRedirect || res.Header["Location"] != nil || res.Header.Get("Intercom-Location") != "https://evil.test/" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
		if !exposes(res, "Intercom-Location") {
			t.Errorf("%s: %v", method, res.Header)
		}
		if res := b.fetch(method, "/orders/1?to=/orders/2", token); res.Header.Get("Location") != "/orders/2" {
			t.Errorf("%s, at home: %v", method, res.Header)
		}
	}
	if res := b.navigate("/orders/1?to=https://evil.test/"); res.Header.Get("Location") != "https://evil.test/" {
		t.Errorf("a navigation: %v", res.Header)
	}
}
