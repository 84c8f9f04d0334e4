package bff_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestScript: pages of the origin and of its list may load the module, which is small, and is asked for anew.
func TestScript(t *testing.T) {
	w := newWorld(t)
	b := w.tab(t)
	for path, kind := range map[string]string{"/bff/intercom.js": "text/javascript; charset=utf-8", "/bff/intercom.d.ts": "application/typescript; charset=utf-8"} {
		res := b.fetch(http.MethodGet, path, "Origin: https://app.test")
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != kind ||
			res.Header.Get("Access-Control-Allow-Origin") != "https://app.test" || res.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, %d bytes, %v", path, res.StatusCode, len(res.text), res.Header)
		}
		if again := b.fetch(http.MethodGet, path, "If-None-Match: "+res.Header.Get("Etag")); again.StatusCode != http.StatusNotModified || again.text != "" {
			t.Errorf("%s: %d", path, again.StatusCode)
		}
		if evil := b.fetch(http.MethodGet, path, "Origin: https://evil.test"); evil.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, evil.Header)
		}
	}
	res := b.fetch(http.MethodGet, "/bff/intercom.js")
	if n := len(plain(res.text)); n == 0 || n > 5000 {
		t.Errorf("the module has %d bytes without comments", n)
	}
	if strings.Contains(res.text, "localStorage") || strings.Contains(res.text, "sessionStorage") {
		t.Error("the module stores something")
	}
}

// plain takes away comments and indentation, which is less than a minifier does.
func plain(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}
