// Package freeport finds ports of 127.0.0.1 for servers whose address must be known before they start, or which are
// to be found at it again after a restart.
//
// Listening on port 0 and closing does not do: the kernel may give the port to the next who asks for one, and to the
// near end of any connection. These lie below the range that it gives out by itself.
package freeport

import (
	"errors"
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

// Find returns n different ports of 127.0.0.1 that were free a moment ago.
func Find(n int) ([]int, error) {
	var ports []int
	for range 1000 + n {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.IntN(last-first)
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // held until all are found, so that none is found twice
		ports = append(ports, port)
	}
	return nil, errors.New("no free port on 127.0.0.1")
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
