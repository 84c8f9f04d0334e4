package hygiene

import (
	"net"
	"net/netip"
	"syscall"
)

// ErrDial is the dial guard's refusal. It names no address: whoever asked has not chosen it, and a list of
// addresses that do or do not answer is a map of the network.
const ErrDial Error = "the service's address is in a network that is not open for it: its `dial` list does not name it"

// Guard returns a Control for [net.Dialer], which is called with the address after DNS, for each address
// that is tried, before any packet is sent: a name that resolves differently the second time gains nothing.
//
// It refuses what is on this host (loopback, unspecified), on this link (link-local), in no single place
// (multicast, broadcast), and the metadata services of clouds, which hand credentials to whoever connects
// and mostly but not always are link-local. Public and private addresses are open; the networks in allowed
// are open beyond that. An address is judged as itself and as where its packets end: v4-mapped (RFC 4291),
// NAT64 (RFC 6052), SIIT (RFC 2765), 6to4 (RFC 3056) and ISATAP (RFC 5214) by the IPv4 address inside. In the
// NAT64 prefix for local use (RFC 8215) and in Teredo (RFC 4380) it cannot be told where packets end, so only
// allowed opens them.
func Guard(allowed []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return ErrDial // also for Unix sockets: what has no IP address cannot be judged
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || !mayDial(ip, allowed) {
			return ErrDial
		}
		return nil
	}
}

func mayDial(ip netip.Addr, allowed []netip.Prefix) bool {
	// A zone names an interface of this host; prefixes have none.
	ip = ip.WithZone("").Unmap()
	for _, p := range allowed {
		if p.Contains(ip) || p.Addr().Is4In6() && p.Bits() >= 96 && netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Contains(ip) {
			return true
		}
	}
	for _, inner := range embedded(ip) {
		if !mayDial(inner, allowed) {
			return false
		}
	}
	return !isGuarded(ip)
}

// embedded returns the IPv4 addresses to which the network may translate ip or send it in a tunnel: ISATAP is
// told by the interface identifier, whatever the prefix, so there may be two.
func embedded(ip netip.Addr) []netip.Addr {
	b := ip.As16()
	var inner []netip.Addr
	if within(ip, "2002::/16") {
		inner = append(inner, netip.AddrFrom4([4]byte(b[2:6])))
	}
	isatap := b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe // 2 is the u bit: the IPv4 address is a global one
	if isatap || within(ip, "64:ff9b::/96") || within(ip, "::ffff:0:0:0/96") {
		inner = append(inner, netip.AddrFrom4([4]byte(b[12:])))
	}
	return inner
}

func isGuarded(ip netip.Addr) bool {
	// Not global unicast are unspecified, loopback, link-local, multicast and the broadcast address.
	return !ip.IsGlobalUnicast() || isMetadata(ip) ||
		within(ip, "0.0.0.0/8") || within(ip, "::/96") || within(ip, "64:ff9b:1::/48") || within(ip, "2001::/32")
}

// isMetadata names those that link-local does not cover: Oracle, Alibaba, Azure; EC2 and Google by IPv6.
func isMetadata(ip netip.Addr) bool {
	return within(ip, "192.0.0.0/24") || within(ip, "100.100.100.200/32") || within(ip, "168.63.129.16/32") ||
		within(ip, "fd00:ec2::/32") || within(ip, "fd20:ce::/32")
}

func within(ip netip.Addr, prefix string) bool { return netip.MustParsePrefix(prefix).Contains(ip) }
