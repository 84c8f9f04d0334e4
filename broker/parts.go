package broker

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/credential/sealed"
	"github.com/intercom-broker/intercom/broker/credential/vault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/svid"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// store is what the assembly needs of a credential store, beside the store itself.
type store interface {
	credential.Store
	Ready() error
}

// PolicyHistory is where the broker whose audit log is in auditDir keeps the last revisions of its policy,
// so that what was decided then can be explained later.
func PolicyHistory(auditDir string) string { return filepath.Join(auditDir, "policy") }

// parts are what the doors stand on, in the order in which they are opened.
type parts struct {
	telemetry *telemetry.Telemetry
	identity  *svid.Source
	policy    *policy.Engine
	services  *service.Watcher
	audit     *audit.Log
	store     store
	cache     *credential.Cache
	point     *pep.Point

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

// openParts opens everything but the ring, which needs the store, which may need our own web door.
func openParts(ctx context.Context, cfg Config) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	for _, open := range []func(context.Context, Config) error{
		p.openTelemetry, p.openAudit, p.openPolicy, p.openServices, p.openIdentity, p.openStore,
	} {
		if err := open(ctx, cfg); err != nil {
			return nil, err
		}
	}
	p.point = &pep.Point{Decider: p.policy, Recorder: p.audit, Denials: &pep.Denials{}, Logger: p.telemetry.Logger(), Metrics: pep.NewMetrics(p.registry())}
	p.cache = credential.NewCache(p.store, credential.CacheConfig{
		Fresh: cfg.Store.fresh(), Metrics: credential.NewMetrics(p.registry()),
	})
	return p, nil
}

func (p *parts) registry() prometheus.Registerer { return p.telemetry.Registry() }

func (p *parts) openTelemetry(ctx context.Context, cfg Config) (err error) {
	tc := telemetry.Config{
		Service: "intercom-broker", LogLevel: cfg.Telemetry.Log, LogOutput: cfg.LogOutput, SampleRatio: cfg.Telemetry.Sample,
	}
	if !cfg.Telemetry.OTLP.IsZero() {
		tc.OTLPEndpoint = cfg.Telemetry.OTLP.String()
	}
	if p.telemetry, err = telemetry.New(ctx, tc); err == nil {
		p.onClose(func() { _ = p.telemetry.Shutdown(context.WithoutCancel(ctx)) })
	}
	return err
}

func (p *parts) openPolicy(ctx context.Context, cfg Config) (err error) {
	p.policy, err = policy.Open(ctx, policy.Config{
		Dir: cfg.Policy, History: PolicyHistory(cfg.Audit.Dir), Logger: p.telemetry.Logger(),
		Metrics: policy.NewMetrics(p.registry()),
	})
	return err
}

func (p *parts) openServices(ctx context.Context, cfg Config) (err error) {
	p.services, err = service.Open(ctx, service.Config{
		Dir: cfg.Services, Logger: p.telemetry.Logger(), Metrics: service.NewMetrics(p.registry()),
	})
	return err
}

func (p *parts) openAudit(_ context.Context, cfg Config) (err error) {
	p.audit, err = audit.Open(audit.Config{
		Dir: cfg.Audit.Dir, Sync: audit.Sync(cfg.Audit.Sync), SegmentBytes: int64(cfg.Audit.Size), SegmentAge: cfg.Audit.Age.Std(),
		Keep: cfg.Audit.Keep.Std(), Reserve: int64(cfg.Audit.Reserve), Logger: p.telemetry.Logger(), Metrics: audit.NewMetrics(p.registry()),
	})
	if err == nil {
		p.onClose(func() { _ = p.audit.Close() })
	}
	return err
}

func (p *parts) openIdentity(ctx context.Context, cfg Config) (err error) {
	id := cfg.Identity
	p.identity, err = svid.Open(ctx, svid.Config{
		Socket: id.Socket, CertFile: id.Cert, KeyFile: id.Key, Bundles: id.Bundles, Wait: id.Wait.Std(),
		Logger: p.telemetry.Logger(), Metrics: svid.NewMetrics(p.registry()),
	})
	if err == nil {
		p.onClose(func() { _ = p.identity.Close() })
	}
	return err
}

// domains are the trust domains whose workloads may call: ours, and those that the file names.
func (p *parts) domains(cfg Config) []spiffeid.TrustDomain {
	domains := []spiffeid.TrustDomain{p.identity.ID().TrustDomain()}
	for _, d := range cfg.Identity.Allow {
		domains = append(domains, d.TrustDomain)
	}
	return domains
}

func (p *parts) openStore(ctx context.Context, cfg Config) (err error) {
	if cfg.Store.Vault != nil {
		return p.openVault(ctx, *cfg.Store.Vault)
	}
	return p.openSealed(*cfg.Store.Sealed)
}

func (p *parts) openSealed(cfg Sealed) error {
	key, err := sealed.ReadKey(cfg.Key.String())
	if err != nil {
		return fmt.Errorf("store.sealed.key: %w", err)
	}
	s, err := sealed.Open(sealed.Config{Path: cfg.Path, Key: key, Logger: p.telemetry.Logger(),
		Rekeyed: func() (secret.Value, error) { return sealed.ReadKey(cfg.Key.String()) }})
	p.store = s
	return err
}

func (p *parts) openVault(ctx context.Context, cfg Vault) error {
	vc := cfg.config(p.identity)
	vc.Logger, vc.Tracer, vc.Metrics = p.telemetry.Logger(), p.telemetry.Tracer("intercom/vault"), vault.NewMetrics(p.registry())
	v, err := vault.Open(ctx, vc)
	if err != nil {
		return fmt.Errorf("store.vault: %w", err)
	}
	p.store = v
	p.onClose(v.Close)
	return nil
}
