package gateway

import (
	"net/http"
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
