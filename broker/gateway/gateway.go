package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/drain"
	"github.com/intercom-broker/intercom/broker/gateway/logout"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// Gateway is one process of the browser-facing module.
type Gateway struct {
	cfg   Config
	parts *parts
	front http.Handler
	out   *logout.Handler
	bound map[string]net.Listener
	// leaving is closed when the gateway is asked to end, and draining when it takes nobody new: streams and upgraded
	// connections go then.
	leaving, draining chan struct{}
}

// The names of the doors.
const (
	doorFront = "address"
	doorAdmin = "admin"
)

// Addresses are where the doors listen, as host:port.
type Addresses struct{ Front, Admin string }

// New opens everything that cfg names and binds the doors. A provider or a broker that is not there yet is no
// error; Redis that is not there is.
func New(ctx context.Context, cfg Config) (_ *Gateway, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.checkUnsafe(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, leaving: make(chan struct{}), draining: make(chan struct{})}
	if g.bound, err = cfg.Listen.listen(ctx); err != nil {
		return nil, err
	}
	if g.parts, err = openParts(ctx, cfg); err != nil {
		g.close()
		return nil, err
	}
	g.front = g.handler()
	return g, nil
}

// checkUnsafe refuses what only a flag can allow.
func (c *Config) checkUnsafe() error {
	if err := telemetry.CheckLoopback(c.Listen.admin()); err != nil && !c.Unsafe.AdminAnywhere {
		return fmt.Errorf("listen.admin: %w", err)
	}
	if c.Unsafe.Plaintext == (c.Listen.Cert != "") {
		return errors.New("listen: want cert and key, or --unsafe-plaintext where TLS ends before us, and not both")
	}
	return nil
}

// listen binds both doors, so that an address that is taken is an error of the start.
func (l Listen) listen(ctx context.Context) (_ map[string]net.Listener, err error) {
	bound := map[string]net.Listener{}
	var lc net.ListenConfig
	for name, address := range map[string]string{doorFront: l.Address, doorAdmin: l.admin()} {
		if bound[name], err = lc.Listen(ctx, "tcp", address); err != nil {
			delete(bound, name)
			closeAll(bound)
			return nil, fmt.Errorf("listen.%s: %w", name, err)
		}
	}
	return bound, nil
}

func closeAll(bound map[string]net.Listener) {
	for _, l := range bound {
		_ = l.Close()
	}
}

func (g *Gateway) close() {
	closeAll(g.bound)
	if g.parts != nil {
		g.parts.close()
	}
}

// Addresses returns where the doors listen.
func (g *Gateway) Addresses() Addresses {
	return Addresses{Front: g.bound[doorFront].Addr().String(), Admin: g.bound[doorAdmin].Addr().String()}
}

// Run serves until ctx ends, and for the drain after it, waits for what is in flight within the grace, and closes
// everything. The admin door and what keeps the parts up to date end last: a request that is being drained needs its
// session, and /readyz says why we are not ready.
func (g *Gateway) Run(ctx context.Context) error {
	defer g.close()
	behind, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	run, behind := errgroup.WithContext(behind)
	front, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(behind, stop)() // a part that fails ends the door
	served := g.leave(front, behind)
	for _, follow := range g.parts.followers {
		run.Go(func() error { return follow(behind) })
	}
	run.Go(func() error { return g.serveAdmin(behind, front) })
	run.Go(func() error {
		defer end()
		return g.serve(served)
	})
	g.parts.log().Info("listening", "id", g.parts.identity.ID().String(), "addresses", g.Addresses())
	if err := run.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	g.parts.log().Info("closed")
	return nil
}

// maxAdminConns bounds the admin door's connections.
const maxAdminConns = 256

// serveAdmin serves until ctx ends; front is the context that the front door lives by.
func (g *Gateway) serveAdmin(ctx, front context.Context) error {
	checks := map[string]func() error{"doors": func() error {
		if front.Err() != nil {
			return errors.New("closing: requests in flight are waited for")
		}
		return nil
	}}
	for name, check := range g.parts.checks {
		checks[name] = check
	}
	srv := g.server(g.parts.telemetry.Admin(checks))
	return drain.Serve(ctx, srv, g.bound[doorAdmin], netutil.LimitListener(g.bound[doorAdmin], maxAdminConns), 0)
}
