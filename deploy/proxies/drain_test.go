package proxies_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

const (
	clients = 50
	drain   = 5 * time.Second // as the samples say
)

// rolling ends each gateway by SIGTERM and starts it again, one after the other, under load. log is the proxy's.
func rolling(t *testing.T, alice *person, gates []*process, log func() string) {
	t.Helper()
	l := begin(t, alice, clients)
	l.more(200)
	for _, g := range gates {
		streams := l.counted()["stream 200"]
		must(t, g.Stop())
		l.more(200)
		if l.counted()["stream 200"] == streams {
			t.Errorf("no stream was asked to connect again")
		}
		must(t, g.Start(t.Context()))
		was := strings.Count(log(), g.front)
		gatewaytest.Eventually(t, "the gateway is used again", func() bool { return strings.Count(log(), g.front) > was })
	}
	l.more(200)
	t.Logf("%v", l.end())
}

// TestDrainBehindEnvoy: gateways are replaced, and no request of anybody fails.
func TestDrainBehindEnvoy(t *testing.T) {
	w := newWorld(t, 1, nil)
	gates := w.processes(t, 2, drain)
	proxy := stack.StartEnvoy(t, 2, func(ports []int) string {
		return w.sample(t, "envoy.yaml", [2]string{gates[0].front, gates[1].front}, ports)
	})
	alice := w.person(t, proxy.Addr).login("alice")
	rolling(t, alice, gates, func() string { return proxy.LogTail(1 << 20) })
}

// TestDrainBehindNginx: the same. Nginx checks nobody's health.
func TestDrainBehindNginx(t *testing.T) {
	w := newWorld(t, 1, nil)
	gates := w.processes(t, 2, drain)
	proxy := stack.StartNginx(t, 2, func(ports []int) string {
		return w.sample(t, "nginx-plain.conf", [2]string{gates[0].front, gates[1].front}, ports)
	})
	alice := w.person(t, proxy.Addr).login("alice")
	rolling(t, alice, gates, func() string {
		text, err := os.ReadFile(w.Path("nginx.log"))
		must(t, err)
		return string(text)
	})
}
