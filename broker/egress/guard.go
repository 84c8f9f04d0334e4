package egress

import (
	"net/netip"
	"syscall"
)

// Guard returns a [net.Dialer.Control] that refuses addresses.
func Guard(allowed []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	panic("not yet")
}
