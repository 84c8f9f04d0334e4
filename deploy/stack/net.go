package stack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// FreePorts returns n ports of 127.0.0.1 for servers of the test's own that are to be found again after a restart.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	ports, err := freePorts(n)
	require(t, err)
	return ports
}

// freePorts returns n ports of 127.0.0.1 that were free a moment ago. They lie below the range that
// kernels give out by themselves, so that a server which is restarted finds its port still free.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", addr(port))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // held until all are found, so that none is found twice
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("stack: no free ports on 127.0.0.1")
}

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// withPorts calls start again, with other ports, when somebody took one in between.
func withPorts(n int, start func(ports []int) error) error {
	for try := 1; ; try++ {
		ports, err := freePorts(n)
		if err != nil {
			return err
		}
		err = start(ports)
		if err == nil || try == 3 || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
			return err
		}
	}
}
