package stack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/freeport"
)

// FreePorts returns n ports of 127.0.0.1 for servers of the test's own that are to be found again after a restart.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	ports, err := freeport.Find(n)
	require(t, err)
	return ports
}

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// withPorts calls start again, with other ports, when somebody took one in between.
func withPorts(n int, start func(ports []int) error) error {
	for try := 1; ; try++ {
		ports, err := freeport.Find(n)
		if err != nil {
			return err
		}
		err = start(ports)
		if err == nil || try == 3 || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
			return err
		}
	}
}
