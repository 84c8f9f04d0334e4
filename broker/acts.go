package broker

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/pdp"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/broker/vend"
)

// acts are what the doors lead to.
type acts struct {
	exchange *exchange.Service
	oauth    *exchange.OAuth
	vend     *vend.Service
	sidecars *vend.Sidecars
	pdp      *pdp.Service
	egress   *egress.Handler
}

// mesh returns the services of the mesh door.
func (a *acts) mesh() []interface{ Register(grpc.ServiceRegistrar) } {
	return []interface{ Register(grpc.ServiceRegistrar) }{a.exchange, a.vend, a.sidecars, a.pdp}
}

func (b *Broker) acts(ring *keyring.Ring) (*acts, error) {
	p := b.parts
	log, vends := p.telemetry.Logger(), vend.NewMetrics(p.registry())
	a := &acts{
		vend:     &vend.Service{Point: p.point, Store: p.cache, Services: p.services.Current, Metrics: vends},
		sidecars: &vend.Sidecars{Services: p.services, Policy: p.policy, Logger: log, Metrics: vends},
		pdp:      &pdp.Service{Point: p.point, Policy: p.policy, Find: b.find},
	}
	if err := b.trade(a, ring); err != nil {
		return nil, err
	}
	roots, err := roots("upstream_ca", b.cfg.UpstreamCA)
	if err != nil {
		return nil, err
	}
	a.egress, err = egress.New(egress.Config{
		Point: p.point, Services: p.services.Current, Vender: p.cache, Minter: a.exchange, Policy: p.policy, RootCAs: roots,
		Logger: log, Tracer: p.telemetry.Tracer("intercom/egress"), Metrics: egress.NewMetrics(p.registry()),
	})
	return a, err
}

// trade makes the exchange and its OAuth door. A token of ours that was revoked is no subject token.
func (b *Broker) trade(a *acts, ring *keyring.Ring) error {
	p, issuer, log := b.parts, b.cfg.Issuer.String(), b.parts.telemetry.Logger()
	svids, err := authn.New(authn.Config{
		Domains: p.domains(b.cfg), JWTBundles: p.identity, Audience: issuer, Logger: log, Metrics: authn.NewMetrics(p.registry()),
	})
	if err != nil {
		return err
	}
	users, err := b.users()
	if err != nil {
		return err
	}
	keys, revoked := token.LocalKeys(lookup(ring)), exchange.NewRevocations(p.store, log, nil)
	own := revoked.Unrevoked(exchange.OwnTokens(issuer, keys, nil))
	a.exchange = &exchange.Service{
		Point: p.point, Services: p.services.Current, Signer: ring, Issuer: issuer,
		Metrics:  exchange.NewMetrics(p.registry()),
		Subjects: exchange.SubjectTokens(issuer, own, exchange.JWTSVIDs(svids), users),
	}
	a.oauth = &exchange.OAuth{
		Service: a.exchange, Client: svids.Client, Enter: b.limit.enter, Keys: keys, Revoked: revoked, SignReply: ring.SignReply,
	}
	return nil
}

// lookup finds the key of any replica, also of one that has just started.
func lookup(ring *keyring.Ring) func(kid string) (crypto.PublicKey, string, bool) {
	return func(kid string) (crypto.PublicKey, string, bool) {
		key, alg, ok := ring.Lookup(kid)
		if !ok {
			ring.Refresh(context.Background()) // at most once a second, and bounded by the ring's own timeout
			key, alg, ok = ring.Lookup(kid)
		}
		return key, alg, ok
	}
}

// find looks a decision up in our own audit log.
func (b *Broker) find(_ context.Context, id string) ([]audit.Entry, error) {
	return audit.Find(b.cfg.Audit.Dir, id)
}

// roots returns the system's authorities with those of file beside them, and nil, which means the system's
// alone, when there is no file. key is what names the file in the configuration.
func roots(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // crypto/tls reads nil as the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %s has no certificate", key, file)
	}
	return pool, nil
}
