package freeport_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"

	"github.com/intercom-broker/intercom/broker/freeport"
)

// TestFind: the ports are different, can be listened on, and the kernel gives none of them to anybody else.
func TestFind(t *testing.T) {
	ports, err := freeport.Find(50)
	if err != nil {
		t.Fatal(err)
	}
	given, seen := kernels(t), map[int]bool{}
	for _, port := range ports {
		if seen[port] || port >= given {
			t.Errorf("port %d; seen before: %t; the kernel gives out %d and above", port, seen[port], given)
		}
		seen[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Error(err)
			continue
		}
		defer func() { _ = l.Close() }()
	}
	if len(seen) != 50 {
		t.Errorf("%d ports", len(seen))
	}
}

// TestFoundOnce: who asks in another process, while nobody listens on a port yet, does not get it either.
func TestFoundOnce(t *testing.T) {
	ports, err := freeport.Find(50)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC()
	for _, port := range ports {
		if other, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = other.Close()
			t.Errorf("port %d is found, and not taken", port)
		}
	}
}

// kernels is the first of the ports that the kernel gives out.
func kernels(t *testing.T) int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 49152
	}
	var from int
	if _, err := fmt.Sscan(string(text), &from); err != nil {
		t.Fatal(err)
	}
	return from
}

func TestAddress(t *testing.T) {
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}
