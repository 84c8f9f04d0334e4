package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

const (
	// askAgain is how often the provider is asked whether it knows our key.
	askAgain = 3 * time.Second
	// patience is for how long: npm's oidc-provider keeps a client's keys for a minute, and looks for no unknown one meanwhile.
	patience = 75 * time.Second
)

// introduce is a follower that waits until the provider takes a proof by our key. Until then this gateway is not ready:
// logins would fail here, and do not at those whose keys it knows. A provider that does not answer, or never takes it,
// keeps nobody from the sessions that there are: patience ends.
func (k *clientKeys) introduce(p *provider.Provider, callback string, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		wait := time.Until(k.ready)
		for !k.known.Load() {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			wait = askAgain
			err := asks(ctx, p, callback)
			if err != nil && time.Since(k.ready) > patience {
				log.WarnContext(ctx, "the login provider does not take the key of this gateway: logins will fail until it fetches our keys", "error", err)
				err = nil
			}
			k.known.Store(err == nil)
		}
		return nil
	}
}

// asks returns nil when the provider knows who we are, whatever else it says, or where we prove it by other means.
func asks(ctx context.Context, p *provider.Provider, callback string) error {
	if method, err := p.Method(); err == nil && method != provider.ByPrivateKey {
		return nil
	}
	err := p.TryClient(ctx, callback)
	if provider.OutcomeOf(err) == provider.Misconfigured && fault.From(err).Reason != provider.ReasonClient {
		return nil
	}
	return err
}
