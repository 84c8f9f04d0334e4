package client

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ackMillis is how long sent data may stay unacknowledged. The kernel's own limit is a quarter of an hour,
// in which every other call would be sent to a broker that is cut off.
const ackMillis = 10_000

func userTimeout(_, _ string, c syscall.RawConn) (err error) {
	ctl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ackMillis)
	})
	if ctl != nil {
		return ctl
	}
	return err
}
