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
	clients   = 50
	listeners = 4
	drain     = 5 * time.Second // as the samples say
)

// rolling ends each gateway by SIGTERM and starts it again, one after the other, under load. log is the proxy's.
func rolling(t *testing.T, alice *person, gates []*process, log func() string) {
	t.Helper()
	l := begin(t, alice, clients)
	l.more(200)
	gatewaytest.Eventually(t, "all listen", func() bool { return l.counted()["stream 200"] >= listeners })
	for _, g := range gates {
		must(t, g.Stop())
		l.more(200)
		must(t, g.Start(t.Context()))
		was := strings.Count(log(), g.front)
		gatewaytest.Eventually(t, "the gateway is used again", func() bool { return strings.Count(log(), g.front) > was })
	}
	l.more(200)
	// Each was at one of the gateways, all perhaps at the same.
	gatewaytest.Eventually(t, "all streams are asked to connect again", func() bool { return l.counted()["stream 200"] >= 2*listeners })
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
