package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// policyHistory is where revisions are kept for `intercom policy explain --audit`, as the broker keeps its own.
func policyHistory(auditDir string) string { return filepath.Join(auditDir, "policy") }

// parts are what the doors stand on, in the order in which they are opened.
type parts struct {
	cfg       Config
	telemetry *telemetry.Telemetry
	audit     *audit.Log
	identity  *svid.Source
	client    *client.Client
	secrets   *secrets
	minting   atomic.Pointer[minter]
	policy    policy.Decider
	point     *pep.Point
	services  *service.Watcher
	router    *route.Router
	upstreams *upstream.Set
	pages     *page.Pages
	keys      []secret.Value
	ring      *session.Ring // nil in memory
	vouch     voucher
	store     session.Shared
	logins    login.Store
	own       *clientKeys // nil where the provider has no use for them
	provider  *provider.Provider
	sessions  *session.Manager
	doors     *mtls.Metrics

	// followers keep the parts up to date while Run runs.
	followers []func(context.Context) error
	// checks are what /readyz asks, beyond the doors.
	checks  map[string]func() error
	closers []func()
}

func (p *parts) onClose(f func()) { p.closers = append(p.closers, f) }

// close lets go of everything, the latest first.
func (p *parts) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
	p.closers = nil
}

// openParts opens everything but the doors.
func openParts(ctx context.Context, cfg Config) (_ *parts, err error) {
	p := &parts{cfg: cfg, checks: map[string]func() error{}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for _, open := range []func(context.Context) error{
		p.openTelemetry, p.openAudit, p.openIdentity, p.openClient, p.openPolicy, p.openServices, p.openPages,
		p.openStore, p.openProvider, p.openSessions,
	} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *parts) registry() prometheus.Registerer { return p.telemetry.Registry() }
func (p *parts) log() *slog.Logger               { return p.telemetry.Logger() }

func (p *parts) openTelemetry(ctx context.Context) (err error) {
	t := p.cfg.Telemetry
	tc := telemetry.Config{Service: "intercom-gateway", LogLevel: t.Log, LogOutput: p.cfg.LogOutput, SampleRatio: t.Sample}
	if !t.OTLP.IsZero() {
		tc.OTLPEndpoint = t.OTLP.String()
	}
	if p.telemetry, err = telemetry.New(ctx, tc); err == nil {
		p.doors = mtls.NewMetrics(p.registry())
		p.onClose(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = p.telemetry.Shutdown(ctx) // a collector that is away must not fail the end
		})
	}
	return err
}

func (p *parts) openAudit(context.Context) (err error) {
	a := p.cfg.Audit
	p.audit, err = audit.Open(audit.Config{
		Dir: a.Dir, Sync: audit.Sync(a.Sync), SegmentBytes: int64(a.Size), SegmentAge: a.Age.Std(), Keep: a.Keep.Std(),
		Reserve: int64(a.Reserve), Logger: p.log(), Metrics: audit.NewMetrics(p.registry()),
	})
	if err != nil {
		return fmt.Errorf("audit.dir: %w", err)
	}
	p.checks["audit"] = p.audit.Ready
	p.onClose(func() { _ = p.audit.Close() })
	return nil
}

func (p *parts) openIdentity(ctx context.Context) (err error) {
	id := p.cfg.Identity
	p.identity, err = svid.Open(ctx, svid.Config{
		Socket: id.Socket, CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles, Wait: id.Wait.Std(),
		Logger: p.log(), Metrics: svid.NewMetrics(p.registry()),
	})
	if err == nil {
		p.checks["identity"] = p.identity.Ready
		p.onClose(func() { _ = p.identity.Close() })
	}
	return err
}

func (p *parts) openClient(context.Context) (err error) {
	b := p.cfg.Brokers
	p.client, err = client.New(client.Config{
		Addresses: b.Mesh, EgressAddresses: b.Egress, Source: p.identity, Brokers: tlsconfig.AuthorizeID(b.ID.ID),
		Logger: p.log(), Metrics: client.NewMetrics(p.registry()),
		Dial: []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(p.telemetry.TracerProvider()), otelgrpc.WithPropagators(p.telemetry.Propagator())))},
	})
	if err != nil {
		return err
	}
	p.secrets = &secrets{&leases{lease: p.client.Lease}}
	p.followers = append(p.followers, func(ctx context.Context) error { return p.client.Run(ctx, nil) })
	p.onClose(func() { _ = p.client.Close() })
	return nil
}

func (p *parts) openServices(ctx context.Context) (err error) {
	p.services, err = service.Open(ctx, service.Config{Dir: p.cfg.Services, Logger: p.log(), Metrics: service.NewMetrics(p.registry())})
	if err != nil {
		return err
	}
	rules := []route.Rule{p.cfg.RefuseUnserved}
	if !p.cfg.Unsafe.PlaintextUpstreams {
		rules = append(rules, RefusePlaintext)
	}
	if p.router, err = route.Open(p.services, p.cfg.origins().Hosts(), p.log(), rules...); err != nil {
		return err
	}
	roots, err := authorities(p.cfg.UpstreamCA)
	if err != nil {
		return fmt.Errorf("upstream_ca: %w", err)
	}
	p.upstreams = upstream.New(upstream.Config{RootCAs: roots, Logger: p.log()})
	p.followers = append(p.followers, p.services.Run, p.router.Run, func(ctx context.Context) error { return p.upstreams.Run(ctx, p.services) })
	p.checks["services"] = func() error { return errors.Join(p.services.Err(), p.router.Err()) }
	return nil
}

// openPages opens the chokepoint and the pages, which need nothing that may be away.
func (p *parts) openPages(context.Context) (err error) {
	p.point = &pep.Point{
		Decider: p.policy, Recorder: p.audit, Denials: &pep.Denials{}, Logger: p.log(), Metrics: pep.NewMetrics(p.registry()),
	}
	if p.pages, err = openTheme(p.cfg.Theme); err != nil {
		err = fmt.Errorf("theme: %w", err)
	}
	return err
}

// authorities returns the system's and those of a PEM file; nil, the system's alone, for no file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // nil is the system's
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return pool, nil
}
