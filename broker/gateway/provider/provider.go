package provider

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// Provider is the provider as we know it. It is safe for concurrent use.
type Provider struct {
	cfg     Config
	http    *http.Client
	state   atomic.Pointer[ready] // nil until the metadata came
	refused *negatives
	// lastNonce is for proofs of possession (RFC 9449, section 8.2).
	lastNonce atomic.Pointer[string]
	replayed  *replays
	pulse     *pulse
}

// Open asks the provider who it is. Another issuer, or one that cannot do what we need, is an error; one that
// does not answer is not: see [Provider.Run].
func Open(ctx context.Context, cfg Config) (*Provider, error) {
	p, err := Examine(ctx, cfg)
	if p == nil || final(err) {
		return nil, err
	} else if err != nil {
		p.cfg.Logger.WarnContext(ctx, "the login provider does not answer; asking again", "issuer", cfg.Issuer, "error", err)
	}
	return p, nil
}

func (p *Provider) load(ctx context.Context) error {
	r, err := p.discover(ctx)
	if err != nil {
		return err
	}
	if old := p.state.Load(); old != nil && old.JWKS == r.JWKS {
		r.keys = old.keys // what is known of the keys does not end with the metadata
	}
	p.state.Store(r)
	return nil
}

const (
	maxRetry = 30 * time.Second
	// reread is how often metadata that are known are read again: a provider learns to demand PAR.
	reread = time.Hour
)

// Run asks for the metadata until they are there, and once an hour after that, until ctx ends. It returns an
// error when the provider that was not reachable at the start turns out to be another: the start failed
// after all. Later it keeps what it knows.
func (p *Provider) Run(ctx context.Context) error {
	wait := p.cfg.Retry
	for {
		known := p.state.Load() != nil
		if known {
			wait = reread
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := p.load(ctx)
		switch {
		case err == nil && !known:
			p.pulse.began()
		case err != nil && final(err) && !known:
			return err
		case err != nil && ctx.Err() == nil:
			p.cfg.Logger.WarnContext(ctx, "the login provider's metadata cannot be had", "issuer", p.cfg.Issuer, "error", err)
			wait = min(2*wait, maxRetry)
		}
	}
}

// Ready returns nil when the provider's metadata are known, and why not else.
func (p *Provider) Ready() error {
	_, err := p.ready()
	return err
}

// Standing is what [Provider.Answers] would say, as far as it is known: it waits for nobody, and has the provider asked where
// what is known is old.
func (p *Provider) Standing() error {
	if _, err := p.ready(); err != nil {
		return err
	}
	return p.pulse.known()
}

func (p *Provider) ready() (*ready, error) {
	r := p.state.Load()
	if r == nil {
		return nil, unavailable(nil)
	}
	return r, nil
}

// Issuer returns the provider's name.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// past is the clock, behind by what clocks may be apart.
func (p *Provider) past() time.Time { return p.cfg.Now().Add(-skew) }
