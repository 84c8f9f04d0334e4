package hygiene_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

func TestGuard(t *testing.T) {
	const none, open, opened = 0, 1, 2 // opened by the list below only
	allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("169.254.7.0/24"), netip.MustParsePrefix("::ffff:224.0.0.0/104"), netip.MustParsePrefix("64:ff9b:1::/48")}
	for address, want := range map[string]int{
		"8.8.8.8": open, "203.0.113.7": open, "10.1.2.3": open, "172.16.0.1": open, "192.168.1.1": open, "100.64.0.1": open,
		"2001:4860:4860::8888": open, "2001:db8::1": open, "fd12:3456::1": open, "2002:808:808::1": open, "64:ff9b::808:808": open, "::ffff:8.8.8.8": open,
		"::ffff:10.0.0.1": open, "64:ff9b::a00:1": open,
		"::ffff:0:8.8.8.8": open, "2001:db8::5efe:8.8.8.8": open, "2001:db8::200:5efe:10.0.0.1": open, "2001:db8::100:5efe:7f00:1": open,

		"127.0.0.1": opened, "127.255.255.254": opened, "::1": opened, "::ffff:127.0.0.1": opened, "::ffff:7f00:1": opened,
		"64:ff9b::7f00:1": opened, "64:ff9b::127.0.0.1": opened, "2002:7f00:1::": opened, "169.254.7.9": opened, "224.0.0.1": opened,
		"64:ff9b:1::a00:1": opened, "::ffff:0:127.0.0.1": opened, "2001:db8::5efe:127.0.0.1": opened, "2001:db8::200:5efe:7f00:1": opened,

		"0.0.0.0": none, "0.1.2.3": none, "::": none, "::ffff:0.0.0.0": none, "::127.0.0.1": none, "::7f00:2": none,
		"169.254.169.254": none, "169.254.0.1": none, "::ffff:169.254.169.254": none, "::ffff:a9fe:a9fe": none, "64:ff9b::a9fe:a9fe": none,
		"2002:a9fe:a9fe::1": none, "fd00:ec2::254": none, "fd20:ce::254": none, "100.100.100.200": none, "168.63.129.16": none, "192.0.0.192": none,
		"fe80::1": none, "fe80::1%lo": none, "ff02::1": none, "239.1.1.1": none, "255.255.255.255": none, "2001:0:1:2::3": none,
		"64:ff9b::": none, "::ffff:0:169.254.169.254": none, "::ffff:0:0:0": none, "2001:db8::5efe:169.254.169.254": none, "2001:db8::200:5efe:0.0.0.0": none,
		"fe80::5efe:8.8.8.8": none, "2002:808:808::5efe:a9fe:a9fe": none, "2002:a9fe:a9fe::5efe:808:808": none,
	} {
		target := net.JoinHostPort(address, "443")
		if err := hygiene.Guard(nil)("tcp", target, nil); (err == nil) != (want == open) {
			t.Errorf("%s: %v", address, err)
		}
		if err := hygiene.Guard(allowed)("tcp", target, nil); (err == nil) != (want != none) {
			t.Errorf("%s with a list: %v", address, err)
		}
	}
	for _, address := range []string{"", "/run/docker.sock", "localhost:80", "127.0.0.1", "[::1]", "1:2:3"} {
		if err := hygiene.Guard(nil)("tcp", address, nil); !errors.Is(err, hygiene.ErrDial) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestGuardStandsAfterDNS dials a name that resolves to this host.
func TestGuardStandsAfterDNS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	closed := net.Dialer{Control: hygiene.Guard(nil)}
	if _, err := closed.DialContext(ctx, "tcp", "localhost:"+port); !errors.Is(err, hygiene.ErrDial) {
		t.Errorf("want the guard's refusal through the dialer, got %v", err)
	}
	open := net.Dialer{Control: hygiene.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})}
	c, err := open.DialContext(ctx, "tcp", "localhost:"+port)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
