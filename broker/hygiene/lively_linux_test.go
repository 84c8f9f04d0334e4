package hygiene_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// TestLively: the kernel is told how long to wait for a peer that says nothing any more, and the guard stands as before.
func TestLively(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	local := hygiene.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	c, err := hygiene.Lively(&net.Dialer{Timeout: 30 * time.Second, Control: local}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		for name, want := range map[int][2]int{ // milliseconds, and seconds
			unix.TCP_USER_TIMEOUT: {1000, 30_000}, unix.TCP_KEEPIDLE: {1, 15}, unix.TCP_KEEPINTVL: {1, 5}, unix.TCP_KEEPCNT: {1, 3},
		} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name); err != nil || got < want[0] || got > want[1] {
				t.Errorf("option %d: %d, %v", name, got, err)
			}
		}
	})
	if _, err := hygiene.Lively(&net.Dialer{Control: hygiene.Guard(nil)}).DialContext(t.Context(), "tcp", l.Addr().String()); !errors.Is(err, hygiene.ErrDial) {
		t.Errorf("without leave: %v", err)
	}
}
