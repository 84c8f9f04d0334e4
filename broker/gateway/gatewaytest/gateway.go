package gatewaytest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
)

// Gateway is one running gateway.
type Gateway struct {
	gateway.Addresses
	// Config is what it was started with.
	Config gateway.Config

	stop  context.CancelFunc
	ended chan struct{}
	err   error
}

// Add starts one more gateway, waits until it is ready, and lets the front lead to it.
func (w *World) Add(t testing.TB, cfg gateway.Config) *Gateway {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	running, err := gateway.New(ctx, cfg)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	g := &Gateway{Addresses: running.Addresses(), Config: cfg, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		g.err = running.Run(ctx)
	}()
	t.Cleanup(func() { g.Stop(t) })
	w.Gateways = append(w.Gateways, g)
	Eventually(t, "the gateway is ready", func() bool { return g.ready() })
	w.Front.Lead(w.fronts()...)
	return g
}

// Stop ends a gateway as SIGTERM does, and waits for its drain. The front still leads to it: see [Front.Lead].
func (g *Gateway) Stop(t testing.TB) {
	t.Helper()
	g.stop()
	if <-g.ended; g.err != nil {
		t.Errorf("the gateway ended: %v", g.err)
	}
}

func (g *Gateway) ready() bool {
	res, err := http.Get("http://" + g.Admin + "/readyz") //nolint:noctx // a test's
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

func (w *World) fronts() (addresses []string) {
	for _, g := range w.Gateways {
		addresses = append(addresses, g.Front)
	}
	return addresses
}

// socket serves the gateway's SVID.
func (w *World) socket(t testing.TB, name string) string {
	t.Helper()
	api, err := w.Broker.Domain.Listen(w.Path(name), w.Broker.ID("/gateway"))
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	return api.Address()
}

// Eventually polls until ok, for as long as a loaded machine needs.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within two minutes: %s", what)
		}
		<-tick.C
	}
}
