package gateway

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/svid"
)

// Examiner opens one by one what a gateway of a file stands on, for an operator's tool that looks at it from beside.
type Examiner struct {
	// Config is the gateway's file.
	Config Config
	// Identity is our SVID; nil where there is none, and then nothing proves itself with it.
	Identity *svid.Source
	// Brokers leases what vault: references name; nil where no broker can be asked.
	Brokers *client.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (e Examiner) secrets() *secrets {
	l := &leases{lease: noLease}
	if e.Brokers != nil {
		l.lease = e.Brokers.Lease
	}
	return &secrets{l}
}

// Provider opens the login provider as the client that the gateway is. A private key is one that was made now and that
// the provider does not know: the gateways' own never leave them.
func (e Examiner) Provider(ctx context.Context) (*provider.Provider, error) {
	c := e.Config.Provider
	var own *provider.Assertions
	if c.offersKey() {
		var err error
		if own, err = provider.NewAssertions(0, nil); err != nil {
			return nil, err
		}
	}
	var fetch svidFetcher
	if e.Identity != nil {
		fetch = e.Identity.FetchJWTSVID
	}
	cfg, err := c.client(fetch, own, e.secrets())
	if err != nil {
		return nil, err
	}
	cfg.Now = e.Now
	return provider.Examine(ctx, cfg)
}

// Redis returns how Redis is dialled; sessions are in it where the file says so.
func (e Examiner) Redis(ctx context.Context) (kv.Config, kv.Options, error) {
	o, err := dialOptions(ctx, e.secrets(), *e.Config.Sessions.Redis)
	return *e.Config.Sessions.Redis, o, err
}

// SealingKeys reads the keys that seal sessions, the newest first.
func (e Examiner) SealingKeys(ctx context.Context) ([]secret.Value, error) {
	return e.secrets().sealingKeys(ctx, e.Config.Sessions.Keys)
}

// URL is one of the gateway's own paths at an origin, such as "/callback".
func (c *Config) URL(o Origin, path string) string { return o.URL + c.prefix() + path }

// Authorities returns the system's and those of a PEM file, as a gateway reads it; nil, the system's alone, for no file.
func Authorities(file string) (*x509.CertPool, error) { return authorities(file) }
