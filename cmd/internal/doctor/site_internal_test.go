package doctor

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
)

func TestSite(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://icom.example.org", "https://app.example.org", true},
		{"https://icom.example.org", "https://app.example.org:8443", true},
		{"https://icom.example.org", "http://app.example.org", false}, // browsers hold the scheme against it too
		{"https://icom.example.org", "https://icom.example.com", false},
		{"https://icom.example.co.uk", "https://app.example.co.uk", true},
		{"https://one.co.uk", "https://other.co.uk", false},
		{"https://one.github.io", "https://other.github.io", false},               // the private part of the list counts
		{"http://app.intercom.localhost", "http://icom.intercom.localhost", true}, // ruling 18
		{"http://app.localhost", "http://icom.localhost", false},
		{"http://localhost", "http://localhost:8080", true},
		{"https://127.0.0.1", "https://127.0.0.1:8443", true},
		{"https://127.0.0.1", "https://128.0.0.1", false},
		{"https://[::1]", "https://[::1]:8443", true},
	} {
		if got := site(c.a) == site(c.b); got != c.same {
			t.Errorf("%s, %s: same site %v", c.a, c.b, got)
		}
	}
}

// TestCookies: the configuration's own check lets no other plain http in, so these origins are made up.
func TestCookies(t *testing.T) {
	for origin, want := range map[string]Status{
		"https://icom.example.org": OK, "http://icom.intercom.localhost:8080": OK, "http://localhost": OK,
		"http://127.0.0.1:8080": OK, "http://icom.example.org": Fail, "http://10.0.0.1": Fail,
	} {
		var list []Row
		g := &gatewayExam{Options: Options{Gateway: &gateway.Config{Origins: []gateway.Origin{{URL: origin}}}}}
		g.cookies(t.Context(), rows{list: &list})
		if len(list) != 1 || list[0].Status != want {
			t.Errorf("%s: %+v", origin, list)
		}
	}
}
