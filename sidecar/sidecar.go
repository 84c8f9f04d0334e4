// Package sidecar is the small process beside each service: the application names a service, and the
// call arrives there with the right credential.
//
// This package is the assembly. [Load] reads the one file, [New] opens the parts and binds the doors,
// [Sidecar.Run] serves:
//
//	localapi   what does the application beside me want?
//	cache      do I have it, and is it fresh?
//	client     carry the question to a broker, over mTLS (package broker/client)
package sidecar

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/drain"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry"
	"github.com/intercom-broker/intercom/sidecar/cache"
	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// Sidecar is one process of the sidecar.
type Sidecar struct {
	cfg       Config
	telemetry *telemetry.Telemetry
	identity  *svid.Source
	client    *client.Client
	api       *localapi.API
	bound     map[string]net.Listener
	closers   []func() error
}

// The names of the doors.
const (
	doorTCP   = "listen.address"
	doorUnix  = "listen.socket"
	doorAdmin = "admin"
)

// Addresses are where the TCP doors listen, as host:port. Listen is empty when the application's only door
// is a Unix socket.
type Addresses struct{ Listen, Admin string }

// New opens everything that cfg names and binds the doors. A broker that is not there yet is no error.
func New(ctx context.Context, cfg Config) (_ *Sidecar, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Sidecar{cfg: cfg, bound: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	for _, open := range []func(context.Context) error{s.listen, s.openTelemetry, s.openIdentity, s.openClient, s.openAPI} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Sidecar) onClose(f func() error) { s.closers = append(s.closers, f) }

// close lets go of everything, the latest first.
func (s *Sidecar) close() (err error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}

// listen binds the TCP doors first, so that an address that is taken is an error of the start.
func (s *Sidecar) listen(ctx context.Context) error {
	var lc net.ListenConfig
	for name, address := range map[string]string{doorTCP: s.cfg.Listen.address(), doorAdmin: s.cfg.admin()} {
		if address == "" {
			continue
		}
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		s.bound[name] = l
		s.onClose(func() error { _ = l.Close(); return nil }) // a server may have closed it before
	}
	return nil
}

func (s *Sidecar) openTelemetry(ctx context.Context) (err error) {
	cfg := telemetry.Config{Service: "intercom-sidecar", LogLevel: s.cfg.Telemetry.Log, LogOutput: s.cfg.LogOutput, SampleRatio: s.cfg.Telemetry.Sample}
	if !s.cfg.Telemetry.OTLP.IsZero() {
		cfg.OTLPEndpoint = s.cfg.Telemetry.OTLP.String()
	}
	if s.telemetry, err = telemetry.New(ctx, cfg); err == nil {
		s.onClose(func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = s.telemetry.Shutdown(ctx) // a collector that is away must not fail the end
			return nil
		})
	}
	return err
}

func (s *Sidecar) openIdentity(ctx context.Context) (err error) {
	id := s.cfg.Identity
	s.identity, err = svid.Open(ctx, svid.Config{
		Socket: id.Socket, CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles, Wait: id.Wait.Std(),
		Logger: s.telemetry.Logger(), Metrics: svid.NewMetrics(s.telemetry.Registry()),
	})
	if err == nil {
		s.onClose(s.identity.Close)
	}
	return err
}

func (s *Sidecar) openClient(context.Context) (err error) {
	s.client, err = client.New(client.Config{
		Addresses: s.cfg.Brokers.Mesh, EgressAddresses: s.cfg.Brokers.Egress, Source: s.identity,
		Brokers: tlsconfig.AuthorizeID(s.cfg.Brokers.ID.ID), Logger: s.telemetry.Logger(),
		Metrics: client.NewMetrics(s.telemetry.Registry()),
		Dial: []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(s.telemetry.TracerProvider()), otelgrpc.WithPropagators(s.telemetry.Propagator())))},
	})
	if err == nil {
		s.onClose(s.client.Close)
	}
	return err
}

func (s *Sidecar) openAPI(context.Context) error {
	upstreams, err := s.cfg.Upstreams.resolve()
	if err != nil {
		return fmt.Errorf("upstreams: %w", err)
	}
	s.api, err = localapi.New(localapi.Config{
		Client: s.client, Bundles: s.identity, Upstreams: upstreams, Stale: s.cfg.Stale.Std(),
		Hold:   localapi.Hold{Tokens: s.cfg.Hold.Tokens, Credentials: s.cfg.Hold.Credentials},
		Logger: s.telemetry.Logger(), Metrics: localapi.NewMetrics(s.telemetry.Registry()), CacheMetrics: cache.NewMetrics(s.telemetry.Registry()),
	})
	if err != nil {
		return err
	}
	s.onClose(s.api.Close)
	if s.cfg.Listen.Socket == "" {
		return nil
	}
	l, err := localapi.ListenUnix(s.cfg.Listen.Socket, s.cfg.Listen.UIDs, s.telemetry.Logger())
	if err != nil {
		return fmt.Errorf("%s: %w", doorUnix, err)
	}
	s.bound[doorUnix] = l
	s.onClose(func() error { _ = l.Close(); return nil })
	return nil
}

// resolve reads the authorities and the names.
func (u Upstreams) resolve() (localapi.Upstreams, error) {
	out := localapi.Upstreams{IDs: make(map[string]spiffeid.ID, len(u.IDs))}
	for _, name := range u.TrustDomains {
		td, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return out, err
		}
		out.TrustDomains = append(out.TrustDomains, td)
	}
	for name, id := range u.IDs {
		out.IDs[name] = id.ID
	}
	if u.CA == "" {
		return out, nil
	}
	text, err := os.ReadFile(u.CA)
	if err != nil {
		return out, err
	}
	if out.RootCAs, err = x509.SystemCertPool(); err != nil {
		return out, err
	}
	if !out.RootCAs.AppendCertsFromPEM(text) {
		return out, fmt.Errorf("%s has no certificate", u.CA)
	}
	return out, nil
}

// Addresses returns where the TCP doors listen.
func (s *Sidecar) Addresses() Addresses {
	at := Addresses{Admin: s.bound[doorAdmin].Addr().String()}
	if l, ok := s.bound[doorTCP]; ok {
		at.Listen = l.Addr().String()
	}
	return at
}

// Run serves until ctx ends, drains within the grace, and closes everything.
func (s *Sidecar) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	log := s.telemetry.Logger()
	run, ctx := errgroup.WithContext(ctx)
	run.Go(func() error {
		<-ctx.Done()
		log.Info("closing: nobody new is let in, requests in flight are waited for", "grace", s.cfg.grace())
		return nil
	})
	run.Go(func() error { return s.client.Run(ctx, s.api.Warm) })
	run.Go(func() error { return s.api.Run(ctx) })
	for name, l := range s.bound {
		run.Go(func() error {
			return drain.Serve(ctx, s.server(name, l), l, netutil.LimitListener(l, maxConns), s.cfg.grace())
		})
	}
	log.Info("listening", "id", s.identity.ID().String(), "addresses", s.Addresses(), "socket", s.cfg.Listen.Socket)
	if err := run.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info("closed")
	return nil
}

func (s *Sidecar) server(name string, l net.Listener) *http.Server {
	switch name {
	case doorTCP:
		return localapi.NewServer(s.api.Handler(l.Addr().String()))
	case doorUnix:
		return localapi.NewServer(s.api.Handler(""))
	default:
		return &http.Server{Handler: s.telemetry.Admin(s.checks()), ReadHeaderTimeout: 5 * time.Second}
	}
}

// checks are what /readyz asks.
func (s *Sidecar) checks() map[string]func() error {
	return map[string]func() error{
		"identity": s.identity.Ready,
		"held": func() error {
			if reasons := s.api.Ready(); len(reasons) > 0 {
				return errors.New(strings.Join(reasons, "; "))
			}
			return nil
		},
	}
}

// maxConns bounds the connections of one door; whoever comes beyond it waits.
const maxConns = 4096
