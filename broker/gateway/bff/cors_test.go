package bff_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// TestAddCORS: an exact origin, with Vary, and nothing of what the upstream said. The origin's own pages need none.
func TestAddCORS(t *testing.T) {
	for origin, want := range map[string]string{
		"https://icom.test": "", "https://app.test": "https://app.test", "https://evil.test": "", "null": "", "": "",
		"https://app.test.evil.test": "", "http://app.test": "",
	} {
		h := http.Header{"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Private-Network": {"true"}, "Vary": {"Accept"}}
		r := request("GET")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		bff.AddCORS(h, r, icom)
		if got := h.Get("Access-Control-Allow-Origin"); got != want || (h.Get("Access-Control-Allow-Credentials") == "true") != (want != "") {
			t.Errorf("%q: %q", origin, got)
		}
		if vary := strings.Join(h.Values("Vary"), ","); vary != "Accept,Origin" || h.Get("Access-Control-Allow-Private-Network") != "" {
			t.Errorf("%q: %v", origin, h)
		}
	}
}

func TestPreflight(t *testing.T) {
	ask := func(origin string) *http.Request {
		return request("OPTIONS", "Origin: "+origin, "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-csrf-token, content-type")
	}
	if !bff.IsPreflight(ask("https://app.test")) || bff.IsPreflight(request("OPTIONS", own)) || bff.IsPreflight(request("GET", own, "Access-Control-Request-Method: PUT")) {
		t.Error("what is a preflight")
	}
	w := httptest.NewRecorder()
	bff.Preflight(w, ask("https://app.test"), icom, []string{"GET", "PUT"})
	if h := w.Header(); w.Code != 204 || h.Get("Access-Control-Allow-Methods") != "GET, PUT" || h.Get("Access-Control-Allow-Headers") != "x-csrf-token, content-type" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	bff.Preflight(w, ask("https://evil.test"), icom, []string{"GET", "PUT"})
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("a foreign origin gets %s", name)
		}
	}
	odd := ask("https://app.test")
	odd.Header.Set("Access-Control-Request-Headers", "x: y")
	w = httptest.NewRecorder()
	bff.Preflight(w, odd, icom, nil)
	if w.Header().Get("Access-Control-Allow-Headers") != "" {
		t.Error("what is no list of fields is said back")
	}
}
