package proxies_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// patience is what is left here of the time for which the samples wait for an answer's head.
const patience = 3 * time.Second

// impatient is a sample as w.sample makes it, with less patience.
func (w *world) impatient(t *testing.T, file string, gates []*process, ports []int) string {
	t.Helper()
	text := w.sample(t, file, [2]string{gates[0].front, gates[1].front}, ports)
	short := strings.NewReplacer("_timeout 75s", "_timeout "+patience.String(), "per_try_timeout: 75s", "per_try_timeout: "+patience.String()).Replace(text)
	if (short == text) != (file == "nginx-auth-request.conf") {
		t.Fatalf("%s: what it waits is not found", file)
	}
	return short
}

// TestHung: a gateway that hangs, and closes no connection, is left after a while, and what may be repeated is answered
// by the other one. What is silent by its nature stays.
func TestHung(t *testing.T) {
	w := newWorld(t, 1, nil)
	gates := w.processes(t, 2, drain)
	start := func(kind func(testing.TB, int, func([]int) string) *stack.ProxyServer, file string) *person {
		proxy := kind(t, 2, func(ports []int) string { return w.impatient(t, file, gates, ports) })
		return w.person(t, proxy.Addr).login("alice")
	}
	for name, alice := range map[string]*person{
		"nginx": start(stack.StartNginx, "nginx-plain.conf"), "envoy": start(stack.StartEnvoy, "envoy.yaml"), "auth_request": start(stack.StartNginx, "nginx-auth-request.conf"),
	} {
		t.Run(name, func(t *testing.T) {
			inner := *alice
			inner.t = t
			if name == "auth_request" {
				inner.outlive(t, gates[0], "/wiki/1")
				inner.nobodyAnswers(t, gates)
				return
			}
			sockets := inner.sockets(t, 4)
			inner.outlive(t, gates[0], "/orders/1")
			for _, say := range sockets {
				say()
			}
		})
	}
}

// outlive calls for longer than the proxy waits, while one gateway hangs to which it has connections.
func (p *person) outlive(t *testing.T, g *process, path string) {
	t.Helper()
	for range 10 {
		gatewaytest.Said[arrived](t, p.Fetch(http.MethodGet, path))
	}
	must(t, g.Pause())
	defer func() { must(t, g.Resume()) }()
	longest := time.Duration(0)
	for began := time.Now(); time.Since(began) < 2*patience; {
		asked := time.Now()
		gatewaytest.Said[arrived](t, p.Fetch(http.MethodGet, path)) // or its client has given up
		longest = max(longest, time.Since(asked))
	}
	t.Logf("the longest wait: %v", longest)
}

// nobodyAnswers: that is said, to people in a page.
func (p *person) nobodyAnswers(t *testing.T, gates []*process) {
	t.Helper()
	for _, g := range gates {
		must(t, g.Pause())
		defer func() { must(t, g.Resume()) }()
	}
	if res := p.Fetch(http.MethodGet, "/wiki/1"); res.StatusCode != http.StatusServiceUnavailable || res.Code() != "upstream_unavailable" {
		t.Errorf("a script: %s %s", res.Status, res.Text)
	}
	res := p.Do(http.MethodGet, "/wiki/1", nil, gatewaytest.Navigation("Accept-Language: de")...)
	if res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(res.Text, "Gerade nicht erreichbar") || res.Header.Get("Retry-After") == "" {
		t.Errorf("a page: %s %s", res.Status, res.Text)
	}
}

// sockets opens n, and returns what says something in each.
func (p *person) sockets(t *testing.T, n int) (say []func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	for range n {
		c, _, err := p.Socket("/orders/socket", p.Home)
		must(t, err)
		t.Cleanup(func() { _ = c.CloseNow() })
		say = append(say, func() {
			must(t, c.Write(ctx, websocket.MessageText, []byte("hello")))
			if _, text, err := c.Read(ctx); err != nil || string(text) != "hello" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	return say
}
