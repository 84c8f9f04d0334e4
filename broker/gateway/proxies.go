package gateway

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// trust replaces the address of a proxy of ours by the one that it says the request came from. Nobody else is
// believed: by default there are no such proxies, and the address is that of the connection.
func trust(proxies []Network, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, ok := clientOf(proxies, r)
		if fromProxy(proxies, r) {
			r = r.WithContext(context.WithValue(r.Context(), proxyKey{}, true))
		}
		if ok { // r is a copy of ours: who is forwarded came through a proxy
			r.RemoteAddr = net.JoinHostPort(client.String(), "0")
		}
		next.ServeHTTP(w, r)
	})
}

type proxyKey struct{}

// byProxy reports whether a proxy of ours sent r, whatever address trust has put into it since.
func byProxy(r *http.Request) bool { return r.Context().Value(proxyKey{}) != nil }

func fromProxy(proxies []Network, r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && trusted(proxies, peer.Addr())
}

// clientOf returns the last address of X-Forwarded-For that is none of our proxies: whatever stands before it
// was written by somebody whom nobody vouches for.
func clientOf(proxies []Network, r *http.Request) (netip.Addr, bool) {
	if !fromProxy(proxies, r) {
		return netip.Addr{}, false
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return netip.Addr{}, false
		}
		if !trusted(proxies, addr) {
			return addr.Unmap(), true
		}
	}
	return netip.Addr{}, false
}

func trusted(proxies []Network, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(proxies, func(n Network) bool { return n.Contains(addr) })
}
