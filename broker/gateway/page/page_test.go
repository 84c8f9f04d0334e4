package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/intercom-broker/intercom/broker/gateway/page"
)

func get(language string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Language", language)
	return r
}

func TestPagesSpeakTwoLanguages(t *testing.T) {
	p, err := page.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{
		"de-AT,de;q=0.9,en;q=0.8": "Sie sind abgemeldet", "en-GB": "You are signed out", "fr,de;q=0.5": "Sie sind abgemeldet", "": "You are signed out", "fr;;,=": "You are signed out",
	} {
		w := httptest.NewRecorder()
		p.LoggedOut(w, get(accept), "/orders?a=1&b=2", false)
		if body := w.Body.String(); !strings.Contains(body, want) || !strings.Contains(body, `href="/orders?a=1&amp;b=2"`) {
			t.Errorf("%q:\n%s", accept, body)
		}
	}
	w := httptest.NewRecorder()
	p.Again(w, get("de"))
	scripted(t, w)
	body := w.Body.String()
	if !strings.Contains(body, "Einen Moment") || strings.Contains(body, "angemeldet") || !strings.Contains(body, `content="0; url=/"`) {
		t.Errorf("%v\n%s", w.Header(), body)
	}
	w = httptest.NewRecorder()
	p.Problem(w, get("de"), http.StatusBadGateway, `LOGIN_<script>`, "/")
	if body := w.Body.String(); w.Code != http.StatusBadGateway || !strings.Contains(body, "antwortet gerade nicht") || strings.Contains(body, "<script") {
		t.Errorf("%d\n%s", w.Code, body)
	}
	w = httptest.NewRecorder()
	p.Unfit(w, get("de"), http.StatusInternalServerError, "provider_proof")
	if body := w.Body.String(); w.Code != http.StatusInternalServerError || !strings.Contains(body, "Ein neuer Versuch hilft nicht") || strings.Contains(body, "<a") || !strings.Contains(body, "provider_proof") {
		t.Errorf("%d\n%s", w.Code, body)
	}
	w = httptest.NewRecorder()
	p.NoLogin(w, get("de"), "provider_unavailable", "/bff/login?a=1&b=2")
	if body := w.Body.String(); w.Code != http.StatusServiceUnavailable || !strings.Contains(body, "kann weiterarbeiten") || !strings.Contains(body, `href="/bff/login?a=1&amp;b=2"`) {
		t.Errorf("%d\n%s", w.Code, body)
	}
	w = httptest.NewRecorder()
	p.LoggedOut(w, get("en"), "/", true)
	if body := w.Body.String(); !strings.Contains(body, "may still be signed in") {
		t.Error(body)
	}
}

// scripted wants the one script of a page to be allowed by its policy.
func scripted(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	body := w.Body.String()
	_, script, _ := strings.Cut(body, "<script")
	_, script, _ = strings.Cut(script, ">")
	script, _, _ = strings.Cut(script, "</script>")
	_, policy, _ := strings.Cut(w.Header().Get("Content-Security-Policy"), "script-src ")
	if sum := sha256.Sum256([]byte(script)); script == "" || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("%v\n%s", w.Header(), body)
	}
}

// TestPagesAreClosed: no frame, no cache, no referrer, no script, and the style that the policy allows is the
// one in the page.
func TestPagesAreClosed(t *testing.T) {
	p, err := page.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.LoggedOut(w, get("en"), "javascript:alert(1)", false)
	h, body := w.Header(), w.Body.String()
	policy := h.Get("Content-Security-Policy")
	_, style, _ := strings.Cut(body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	if strings.Contains(body, `href="javascript`) || strings.Contains(body, "<script") {
		t.Error(body)
	}
}

func TestThemes(t *testing.T) {
	p, err := page.New(fstest.MapFS{
		"style.css":      {Data: []byte("body{color:red}")},
		"loggedout.html": {Data: []byte(`{{template "head" .}}<main>Tschüss {{.Back}}</main>`)},
		"logo.svg":       {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.LoggedOut(w, get("de"), "/x", false)
	if body := w.Body.String(); !strings.Contains(body, "Tschüss /x") || !strings.Contains(body, "<style>body{color:red}</style>") {
		t.Error(body)
	}
	for name, theme := range map[string]fstest.MapFS{
		"an unknown page":   {"login.html": {Data: []byte("x")}},
		"a broken template": {"hop.html": {Data: []byte("{{if}}")}},
		"a style that ends": {"style.css": {Data: []byte("a{}</style><script>")}},
		"a huge style":      {"style.css": {Data: []byte(strings.Repeat("a", 65<<10))}},
	} {
		if _, err := page.New(theme); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
