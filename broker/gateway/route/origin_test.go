package route_test

import (
	"net/http"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/route"
)

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{
		"https://app.example.org", "https://app.example.org:8443", "https://xn--mnchen-3ya.example", "http://localhost:8080",
		"http://app.intercom.localhost:4180", "http://127.0.0.1:1", "https://[::1]:8443",
	} {
		if err := route.CheckOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "null", "*", "app.example.org", "//app.example.org", "https://", "https://App.example.org", "https://app.example.org/",
		"https://app.example.org/x", "https://app.example.org:443", "http://localhost:80", "https://app.example.org.", "https://u@app.example.org",
		"https://app.example.org?x", "https://app.example.org#x", "http://app.example.org", "ftp://app.example.org", "https://app.example.org:",
		"http://localhost.example.org", "https:app.example.org", "https://*.example.org", "https://.*example.org", "https://münchen.example",
	} {
		if route.CheckOrigin(bad) == nil {
			t.Errorf("%q is taken for an origin", bad)
		}
	}
}

// TestAllowsExactOriginsOnly has the tricks by which lists of origins are got around.
func TestAllowsExactOriginsOnly(t *testing.T) {
	o := route.Origin{URL: "https://icom.test", CORS: []string{"https://app.test"}}
	for _, good := range []string{"https://icom.test", "https://app.test"} {
		if !o.Allows(good) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, bad := range []string{
		"", "null", "*", "https://app.test.evil.test", "https://evilapp.test", "https://x.app.test", "http://app.test", "https://app.test:8443",
		"https://APP.test", "https://app.test.", "https://app.test/", "https://app.test, https://evil.test", "https://app.tеst",
	} {
		if o.Allows(bad) {
			t.Errorf("%q is allowed", bad)
		}
	}
}

func TestOriginOfARequest(t *testing.T) {
	all := route.Origins{{URL: "https://icom.test"}, {URL: "https://app.test:8443"}}
	for host, want := range map[string]string{
		"icom.test": "https://icom.test", "app.test:8443": "https://app.test:8443", "app.test": "", "icom.test:443": "", "ICOM.test": "", "": "", "icom.test.": "",
	} {
		if o, ok := all.Of(&http.Request{Host: host}); o.URL != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", host, o.URL, ok)
		}
	}
}
