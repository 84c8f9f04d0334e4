package providertest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Tab is a browser as a gateway sees it: it keeps the gateway's cookies. Its Browser is the same person at the
// provider.
type Tab struct {
	*Browser
	// Host is the gateway's, as the browser sends it.
	Host string
	// Cookies are the gateway's.
	Cookies map[string]*http.Cookie

	gateway http.Handler
}

// Navigate returns what a browser sends with a navigation inside of one origin.
func Navigate() []string {
	return []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: same-origin"}
}

// Fetch returns what a browser sends with a fetch of a page of origin's own.
func Fetch(origin string) []string {
	return []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin", "Origin: " + origin}
}

// SetHeaders sets headers that stand as "Name: value", the last of a name; an empty one is none.
func SetHeaders(h http.Header, lines ...string) {
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case ok:
			h.Set(name, strings.TrimPrefix(value, " "))
		case line != "":
			panic("a header that is none: " + line)
		}
	}
}

// Tab returns a new one at a gateway, without cookies.
func (s *Server) Tab(t testing.TB, gateway http.Handler, host string) *Tab {
	t.Helper()
	return &Tab{Browser: s.Browser(t), Host: host, Cookies: map[string]*http.Cookie{}, gateway: gateway}
}

// Do sends a request, with a form where it is not empty, and headers as "Name: value", the last of a name.
func (b *Tab) Do(method, target, form string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(form))
	r.Host = b.Host
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	SetHeaders(r.Header, headers...)
	for _, c := range b.Cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	rec := httptest.NewRecorder()
	b.gateway.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		if b.Cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.Cookies, c.Name)
		}
	}
	return res
}
