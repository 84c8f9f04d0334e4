package gateway_test

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
)

// hanging is the way to a server that hangs on command: its connections stay open, and nothing comes any more.
type hanging struct {
	net.Listener
	to   string
	hung atomic.Bool
}

func hang(t *testing.T, to string) *hanging {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	h := &hanging{Listener: l, to: to}
	go func() {
		for {
			c, err := h.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return h
}

func (h *hanging) serve(c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", h.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, c) }()
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if h.hung.Load() {
			continue
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestStalePolicy: the brokers' policy is followed for as long as the file says when none of them can be heard, which
// an open connection does not show. Then all is refused, until one is heard again.
func TestStalePolicy(t *testing.T) {
	t.Parallel()
	var way *hanging
	const stale = 15 * time.Second
	w := newWorld(t, options{change: func(c *gateway.Config) {
		way = hang(t, c.Brokers.Mesh[0])
		c.TrustedProxies = []gateway.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
		c.Brokers.Mesh, c.Brokers.Stale = []string{way.Addr().String()}, strict.Duration(stale)
	}})
	alice, g := w.person(t, 0), w.Gateways[0]
	alice.Login("alice")
	ask := func() gatewaytest.Answer { // which is about policy alone
		return alice.Fetch(http.MethodGet, "/bff/authz", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /orders/1", "X-Forwarded-Host: "+w.hostPort())
	}
	if res := ask(); res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", res.Status, res.Text)
	}
	began := time.Now()
	way.hung.Store(true)
	gatewaytest.Eventually(t, "all is refused", func() bool { return ask().StatusCode == http.StatusServiceUnavailable })
	if took := time.Since(began); took < stale-6*time.Second { // the last word is at most a heartbeat old
		t.Errorf("the policy was followed for %v", took)
	}
	if res := ask(); !strings.Contains(res.Text, `"code":"policy_failed"`) {
		t.Errorf("%s", res.Text)
	}
	if status, text := g.Readyz(t); status != http.StatusServiceUnavailable || !strings.Contains(text, "brokers.stale") {
		t.Errorf("readyz: %d %s", status, text)
	}
	way.hung.Store(false)
	gatewaytest.Eventually(t, "a broker is heard again", func() bool { return ask().StatusCode == http.StatusOK })
}
