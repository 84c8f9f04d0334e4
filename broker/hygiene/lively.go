package hygiene

import (
	"net"
	"syscall"
	"time"
)

// Lively makes the connections of d notice within half a minute that the peer is gone without a word: one with nothing to
// say by its keep-alive probes, and otherwise by what is not acknowledged (RFC 5482; on Linux). The kernel's own limit is
// a quarter of an hour, in which all that shares an HTTP/2 connection would wait.
//
// HTTP/2's pings would find a peer that hangs as well. But servers of gRPC close the connection of who pings them more
// often than they like, which is every five minutes (gRFC A8), and streams may be silent for longer.
//
// It returns d.
func Lively(d *net.Dialer) *net.Dialer {
	d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
	guard := d.Control
	d.Control = func(network, address string, c syscall.RawConn) error {
		if guard != nil {
			if err := guard(network, address, c); err != nil {
				return err
			}
		}
		return userTimeout(c)
	}
	return d
}
