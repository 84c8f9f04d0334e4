package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/intercom-broker/intercom/broker/drain"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// Broker is one process of the credential broker.
type Broker struct {
	cfg   Config
	parts *parts
	mtls  *mtls.Metrics
	limit *limiter // one share for both doors
	// health is one for all servers of the mesh door.
	health *health.Server
	bound  map[string]net.Listener
	// ring is set once the signing key was published, or could not be.
	ring atomic.Pointer[keyring.Ring]
	// web is what the web door serves from then on, and a little before.
	web atomic.Pointer[http.ServeMux]
}

// Addresses are where the doors listen, as host:port.
type Addresses struct{ Mesh, Egress, Web, Admin string }

// New opens everything that cfg names and binds the doors. What it returns serves the trust domain's
// keys already, and everything else once Run runs.
func New(ctx context.Context, cfg Config) (_ *Broker, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := telemetry.CheckLoopback(cfg.Listen.admin()); err != nil && !cfg.Unsafe.AdminAnywhere {
		return nil, fmt.Errorf("listen.admin: %w", err)
	}
	b := &Broker{cfg: cfg, limit: newLimiter(cfg.Limits.inFlight()), health: health.NewServer()}
	if b.bound, err = cfg.Listen.listen(ctx); err != nil {
		return nil, err
	}
	if b.parts, err = openParts(ctx, cfg); err != nil {
		closeAll(b.bound)
		return nil, err
	}
	b.mtls = mtls.NewMetrics(b.parts.registry())
	return b, nil
}

// Addresses returns where the doors listen.
func (b *Broker) Addresses() Addresses {
	at := func(name string) string { return b.bound[name].Addr().String() }
	return Addresses{Mesh: at("mesh"), Egress: at("egress"), Web: at("web.address"), Admin: at("admin")}
}

// Run serves until ctx ends, drains within the grace, and closes everything. The admin door is the first
// to open and the last to close: before and after, /readyz says why we are not ready.
func (b *Broker) Run(ctx context.Context) error {
	defer b.parts.close()
	defer closeAll(b.bound)
	log := b.parts.telemetry.Logger()
	admin, endAdmin := context.WithCancel(context.WithoutCancel(ctx))
	run, ctx := errgroup.WithContext(ctx)
	adminEnded := make(chan error, 1)
	go func() { adminEnded <- b.serveAdmin(admin, ctx) }()
	run.Go(func() error {
		select {
		case err := <-adminEnded:
			adminEnded <- nil
			return err
		case <-ctx.Done():
			log.Info("closing: nobody new is let in, requests in flight are waited for", "grace", b.cfg.grace())
			return nil
		}
	})
	err := b.serveDoors(ctx, run)
	endAdmin()
	<-adminEnded
	if err == nil {
		log.Info("closed")
	}
	return err
}

// serveDoors opens the other doors and returns when they are closed again.
func (b *Broker) serveDoors(ctx context.Context, run *errgroup.Group) error {
	err := b.serveWeb(ctx, run)
	if err == nil {
		err = b.serveRest(ctx, run)
	}
	if err != nil {
		run.Go(func() error { return err }) // ends the doors that are open
	}
	if err := run.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (b *Broker) serveWeb(ctx context.Context, run *errgroup.Group) error {
	config, err := b.webTLS()
	if err != nil {
		return err
	}
	srv, l := b.shortServer(b.webHandler()), b.bound["web.address"]
	if config == nil {
		run.Go(func() error {
			return drain.Serve(ctx, srv, l, netutil.LimitListener(l, b.cfg.Limits.connections()), b.cfg.grace())
		})
		return nil
	}
	door := b.door("web")
	door.TLS = config
	run.Go(func() error { return mtls.ServeHTTP(ctx, l, mtls.ListenHTTP(l, door), srv, b.cfg.grace()) })
	return nil
}

// serveRest publishes the signing key and opens the other doors.
func (b *Broker) serveRest(ctx context.Context, run *errgroup.Group) error {
	log, registry := b.parts.telemetry.Logger(), b.parts.registry()
	ring, err := keyring.Open(ctx, keyring.Config{
		Publisher: sharedKeys{b.parts.store}, Algorithm: b.cfg.Keys.Algorithm, Rotate: b.cfg.Keys.Rotate.Std(),
		Logger: log, Metrics: keyring.NewMetrics(registry),
	})
	if err != nil {
		return err
	}
	a, err := b.acts(ring)
	if err != nil {
		return err
	}
	b.web.Store(b.webMux(ring, a.oauth))
	b.ring.Store(ring) // what /readyz looks at, so the last
	for _, part := range []func(context.Context) error{
		b.parts.policy.Run, b.parts.services.Run, ring.Run, a.oauth.Revoked.Run, a.egress.Run,
		func(ctx context.Context) error { return b.serveMesh(ctx, a) },
		func(ctx context.Context) error { return b.serveEgress(ctx, a) },
		b.tellHealth,
	} {
		run.Go(func() error { return part(ctx) })
	}
	log.Info("ready", "id", b.parts.identity.ID().String(), "addresses", b.Addresses())
	return nil
}

func (b *Broker) serveMesh(ctx context.Context, a *acts) error {
	door := b.door("mesh")
	door.TLS = mtls.Server(b.parts.identity, b.parts.identity, mtls.AllowDomains(b.parts.domains(b.cfg)...), "h2")
	return mtls.ServeGRPC(ctx, b.bound["mesh"], door, b.mesh(a))
}

func (b *Broker) serveEgress(ctx context.Context, a *acts) error {
	door := b.door("egress")
	door.TLS = mtls.Server(b.parts.identity, b.parts.identity, mtls.AllowDomains(b.parts.domains(b.cfg)...), "h2", "http/1.1")
	bound := b.bound["egress"]
	l := hygiene.Listener(mtls.ListenHTTP(bound, door))
	return mtls.ServeHTTP(ctx, bound, l, b.httpServer(b.egressDoor(a.egress)), b.cfg.grace())
}

// serveAdmin serves until ctx ends; doors is the context that the other doors live by.
func (b *Broker) serveAdmin(ctx, doors context.Context) error {
	l := netutil.LimitListener(b.bound["admin"], maxAdminConns)
	return drain.Serve(ctx, b.shortServer(b.parts.telemetry.Admin(b.checks(doors))), b.bound["admin"], l, time.Second)
}

// checks are what /readyz asks.
func (b *Broker) checks(doors context.Context) map[string]func() error {
	return map[string]func() error{
		"doors": func() error {
			if doors.Err() != nil {
				return errors.New("closing: calls in flight are waited for")
			}
			return nil
		},
		"identity": b.parts.identity.Ready, "audit": b.parts.audit.Ready, "store": b.parts.store.Ready,
		"keys": b.keysReady, "services": b.parts.services.Err,
	}
}

func (b *Broker) keysReady() error {
	if ring := b.ring.Load(); ring != nil {
		return ring.Ready()
	}
	return errors.New("the signing key is being published")
}

// tellHealth keeps the answer of gRPC's health service the same as that of /readyz until ctx ends.
func (b *Broker) tellHealth(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		status := grpc_health_v1.HealthCheckResponse_SERVING
		for _, check := range b.checks(ctx) {
			if check() != nil {
				status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
			}
		}
		b.health.SetServingStatus("", status)
		select {
		case <-ctx.Done():
			b.health.Shutdown()
			return nil
		case <-tick.C:
		}
	}
}
