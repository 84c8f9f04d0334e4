package gatewaytest

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/patience"
)

// Gateway is one running gateway.
type Gateway struct {
	gateway.Addresses
	// Config is what it was started with.
	Config gateway.Config
	// Leave asks it to end, as SIGTERM does, and does not wait: see Stop.
	Leave context.CancelFunc

	ended chan struct{}
	err   error
}

// Add starts one more gateway, waits until it is ready, and lets the front lead to it.
func (w *World) Add(t testing.TB, cfg gateway.Config) *Gateway {
	t.Helper()
	g := w.Run(t, cfg)
	Eventually(t, "the gateway is ready", func() bool { status, _ := g.Readyz(t); return status == http.StatusOK })
	w.Front.Lead(w.fronts()...)
	return g
}

// Run starts one more gateway, to which the front does not lead, and which may never be ready.
func (w *World) Run(t testing.TB, cfg gateway.Config) *Gateway {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	running, err := gateway.New(ctx, cfg)
	if err != nil {
		stop()
		t.Fatal(err)
	}
	g := &Gateway{Addresses: running.Addresses(), Config: cfg, Leave: stop, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		g.err = running.Run(ctx)
	}()
	t.Cleanup(func() { g.Stop(t) })
	w.Gateways = append(w.Gateways, g)
	return g
}

// Stop ends a gateway as SIGTERM does, and waits for its drain. The front still leads to it: see [Front.Lead].
func (g *Gateway) Stop(t testing.TB) {
	t.Helper()
	g.Leave()
	if <-g.ended; g.err != nil {
		t.Errorf("the gateway ended: %v", g.err)
	}
}

// Readyz is what the admin door says of whether the gateway is ready; 0 means that it does not answer.
func (g *Gateway) Readyz(t testing.TB) (status int, text string) {
	t.Helper()
	res, err := http.Get("http://" + g.Admin + "/readyz") //nolint:noctx // a test's
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(body)
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

// Eventually polls until ok, for as long as several processes need on a loaded machine.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Every(t, 20*time.Millisecond, what, ok)
}

// Every is Eventually for what costs something: it is asked with a pause between.
func Every(t testing.TB, pause time.Duration, what string, ok func() bool) {
	t.Helper()
	patience.Within(t, 2*time.Minute, pause, what, ok)
}
