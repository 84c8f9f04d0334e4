package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
)

// keyPoll is how often the sealing keys are read again. Replicas learn of a new key at different moments, and one
// that does not have it yet cannot open what another seals with it: the new key goes second first, and to the
// top when all have it.
const keyPoll = 5 * time.Second

// followKeys keeps the ring what the references of the file say, until ctx ends. Keys that cannot be had
// change nothing: nobody is logged out by a broker that is away. What a key sealed that is gone ends at all
// gateways at once: it is not served from memory either.
func (p *parts) followKeys(ctx context.Context) error {
	if p.ring == nil {
		return nil
	}
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.reloadKeys(ctx)
		}
	}
}

func (p *parts) reloadKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keyPoll)
	defer cancel()
	keys, err := p.secrets.sealingKeys(ctx, p.cfg.Sessions.Keys)
	if err == nil && slices.EqualFunc(keys, p.keys, secret.Value.Equal) {
		return
	}
	if err == nil {
		err = p.ring.Set(keys...)
	}
	if err != nil {
		p.log().WarnContext(ctx, "the sealing keys stay what they are: the new ones cannot be had", "error", err)
		return
	}
	p.keys = keys
	p.vouch.set(keys)
	p.sessions.Reread()
	p.log().InfoContext(ctx, "other sealing keys are in force", "keys", len(keys))
}
