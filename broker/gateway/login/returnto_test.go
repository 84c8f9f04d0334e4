package login_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/route"
)

var here = route.Origin{URL: "https://icom.test", ReturnTo: []string{"https://app.test", "http://localhost:8080"}}

// long is a query as some applications have it.
var long = strings.Repeat("a", 4000)

func TestReturnTo(t *testing.T) {
	for raw, want := range map[string]string{
		"/": "/", "/orders?x=1&y=%20#top": "/orders?x=1&y=%20#top", "/%61": "/a", "/orders?to=https://evil.test": "/orders?to=https://evil.test",
		"https://icom.test/orders": "/orders", "https://app.test": "https://app.test/", "https://app.test/x?y#z": "https://app.test/x?y#z",
		"https://app.test?x": "https://app.test/?x", `/files?path=C:\a\b#\c`: "/files?path=C:%5Ca%5Cb#%5Cc",
		"/deep?" + long: "/deep?" + long, "http://localhost:8080/dev": "http://localhost:8080/dev",
	} {
		if got := login.ReturnTo(here, raw, "/default"); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

// elsewhere are the ways by which redirectors have been opened (RFC 9700, section 4.11, and the advisories of
// other proxies).
var elsewhere = []string{
	"", "//e", "//e/x", `/\e`, `\\e`, `\/e`, "/\t/e", "/\r/e", "/\n/e", "/%09/e", "/%0d/e", "/%5ce", "/%2f/e", "/%2fe", "https:e", "https:/e", "https:///e",
	"/a/..//e", "/./e", "/../e", "/a/%2e%2e/e", "https://icom.test@e", "https://icom.test:443/x", "https://icom.test.e", "https://e#@icom.test/",
	"https://app.test.e/", "https://APP.test/", "HTTPS://app.test/", "https://app.test:8443/", "https://user@app.test/", "javascript:alert(1)",
	"data:text/html,x", "ftp://app.test/", "e", "e/x", "?x", "#x", " /x", "/x ", "/x\x00", "/ x", "https://app.test\\@e", "https://app.test%2f@e/", "https://app。test/",
	"https://icom.test//e", "https://app.test/..//e", "/;@e", "/a;b", `/a\?x`, `https://app.test\?x`, `\/e?x`, "/" + long + long, "https://" + long + long,
}

func TestReturnToNowhereElse(t *testing.T) {
	for _, raw := range elsewhere {
		if got := login.ReturnTo(here, raw, "/default"); got != "/default" {
			t.Errorf("%q leads to %q", raw, got)
		}
	}
}

// FuzzReturnToStaysHere holds what a browser needs to end up at one of the named origins, whatever it makes
// of the rest: a path with one slash at its start or an exact origin, and none of the characters that it
// would take for others.
func FuzzReturnToStaysHere(f *testing.F) {
	for _, raw := range elsewhere {
		f.Add(raw)
	}
	f.Add("/orders?x=1#top")
	f.Add("https://app.test/x?y#z")
	f.Add(`/x?\y#\z`)
	f.Add(`https://app.test\?x\`)
	f.Fuzz(func(t *testing.T, raw string) {
		to := login.ReturnTo(here, raw, "/default")
		rest := to
		for _, origin := range here.ReturnTo {
			if after, ok := strings.CutPrefix(to, origin); ok {
				rest = after
			}
		}
		if !strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//") || strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
			t.Fatalf("%q leads to %q", raw, to)
		}
		base, _ := url.Parse(here.URL + "/bff/callback")
		u, err := base.Parse(to)
		if err != nil || u.Host != "icom.test" && u.Host != "app.test" && u.Host != "localhost:8080" || u.User != nil {
			t.Fatalf("%q leads to %v, %v", raw, u, err)
		}
		if again := login.ReturnTo(here, to, "/default"); again != to {
			t.Fatalf("%q becomes %q, and that %q", raw, to, again)
		}
	})
}
