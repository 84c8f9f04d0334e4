package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

// FuzzClientOf: whatever a header says, the address is one that no proxy of ours has, and nobody's where the
// connection is not one of theirs.
func FuzzClientOf(f *testing.F) {
	for _, header := range []string{
		"", "192.0.2.1", "192.0.2.1, 10.0.0.1", "10.0.0.1", "unknown", "192.0.2.1:80", "::ffff:10.0.0.1", "::ffff:192.0.2.1", "fe80::1%eth0",
		"192.0.2.1,,10.0.0.1", "[::1]", " 192.0.2.1 ",
	} {
		f.Add("10.0.0.7:1234", header)
		f.Add("192.0.2.9:1234", header)
	}
	proxies := []Network{{netip.MustParsePrefix("10.0.0.0/8")}}
	f.Fuzz(func(t *testing.T, peer, header string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {header}}}
		got, ok := clientOf(proxies, r)
		if !ok {
			return
		}
		if addr, err := netip.ParseAddrPort(peer); err != nil || !trusted(proxies, addr.Addr()) {
			t.Errorf("%s is believed", peer)
		}
		if !got.IsValid() || trusted(proxies, got) {
			t.Errorf("%q: %v", header, got)
		}
	})
}

// TestByProxy: a proxy is known as one when the address is the browser's already, and a browser that names one is
// none.
func TestByProxy(t *testing.T) {
	proxies := []Network{{netip.MustParsePrefix("10.0.0.0/8")}}
	for _, c := range []struct {
		peer, forwarded, remote string
		proxy                   bool
	}{
		{"10.0.0.7:1", "192.0.2.1", "192.0.2.1:0", true}, {"10.0.0.7:1", "", "10.0.0.7:1", true}, {"192.0.2.9:1", "10.0.0.7", "192.0.2.9:1", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		called := false
		trust(proxies, http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
			called = true
			if byProxy(got) != c.proxy || got.RemoteAddr != c.remote {
				t.Errorf("%+v: proxy %t, %s", c, byProxy(got), got.RemoteAddr)
			}
		})).ServeHTTP(nil, r)
		if !called || r.RemoteAddr != c.peer {
			t.Errorf("%+v: called %t, the request became %s", c, called, r.RemoteAddr)
		}
	}
}
