package hygiene

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// ackMillis is how long sent data may stay unacknowledged.
const ackMillis = 15_000

func userTimeout(c syscall.RawConn) (err error) {
	ctl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ackMillis)
	})
	if ctl != nil {
		return ctl
	}
	return err
}
