package doctor

import "testing"

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
