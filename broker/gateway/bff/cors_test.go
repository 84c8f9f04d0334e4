package bff_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
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

// TestServicesHead: a listed page reads what a service says in the head of its answer, and nobody else is told of it.
func TestServicesHead(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Disposition", `attachment; filename="a.pdf"`)
		rw.Header().Set("Content-Range", "bytes 0-0/2")
		rw.Header().Set("X-Total-Count", "7")
		rw.Header().Set("Access-Control-Expose-Headers", "Set-Cookie")
		rw.Header().Set("Set-Cookie", "a=b")
		rw.WriteHeader(http.StatusPartialContent)
	})
	res := b.fetch(http.MethodGet, "/orders/1", "Origin: https://app.test")
	for _, name := range []string{"Content-Disposition", "Content-Range", "X-Total-Count", "Intercom-Decision"} {
		if !exposes(res, name) || res.Header.Get(name) == "" {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
	if exposes(res, "Set-Cookie") {
		t.Errorf("what is not there: %v", res.Header)
	}
	for _, origin := range []string{"https://icom.test", "https://evil.test"} {
		if res := b.fetch(http.MethodGet, "/orders/1", "Origin: "+origin); res.Header["Access-Control-Expose-Headers"] != nil {
			t.Errorf("%s: %v", origin, res.Header)
		}
	}
}

// exposes reports whether a page of another origin may read a field.
func exposes(a answer, name string) bool {
	return slices.Contains(strings.Split(a.Header.Get("Access-Control-Expose-Headers"), ", "), name)
}
