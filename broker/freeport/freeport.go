// Package freeport finds ports of 127.0.0.1 for servers whose address must be known before they start, or which are
// to be found at it again after a restart.
//
// Listening on port 0 and closing does not do: the kernel may give the port to the next who asks for one, and to the
// near end of any connection. These lie below the range that it gives out by itself, and no two callers of Find get the
// same, in whatever process: one is taken when a UDP socket has its number, and the process that got it holds that
// socket until it ends. Its servers may start as late, and as often, as they like.
package freeport

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports lie from first up to last. Kernels give out ports from 32768 on (Linux) or from 49152 on (RFC 6335,
// section 6).
const (
	first = 20000
	last  = 32000
)

// Find returns n ports of 127.0.0.1 on which nobody listens, and which nobody else has found.
func Find(n int) ([]int, error) {
	var ports []int
	for range 1000 + n {
		if len(ports) == n {
			return ports, nil
		}
		if port := first + rand.IntN(last-first); take(port) {
			ports = append(ports, port)
		}
	}
	return nil, errors.New("no free port on 127.0.0.1")
}

// take reports whether the port is free, and whether it is ours from now on.
func take(port int) bool {
	flag, err := net.ListenPacket("udp", address(port))
	if err != nil {
		return false
	}
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		_ = flag.Close()
		return false
	}
	_ = l.Close()
	go func() { _, _ = io.Copy(io.Discard, flag.(*net.UDPConn)) }() // else the collector would close it
	return true
}

// Address returns a free port as host:port, the host being 127.0.0.1.
func Address() (string, error) {
	ports, err := Find(1)
	if err != nil {
		return "", err
	}
	return address(ports[0]), nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
