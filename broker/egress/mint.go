package egress

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/secret"
)

// tokens keeps minted tokens for the second half of their life at most, so that one signature serves many
// calls. The key holds all that a token depends on, the policy's revision and the caller's proof among it:
// with either of them new, so is the token.
type tokens struct {
	mu   sync.Mutex
	kept map[string]kept
}

type kept struct {
	token          secret.Value
	renew, expires time.Time
}

// maxTokens bounds how many are kept. Over it all go: to find the oldest costs more than to mint.
const maxTokens = 4096

func (t *tokens) get(ctx context.Context, h *Handler, g *pep.Grant, audience string, scope []string) (secret.Value, error) {
	key, now := tokenKey(g, audience, scope), h.cfg.Now()
	t.mu.Lock()
	held := t.kept[key]
	t.mu.Unlock()
	if now.Before(held.renew) {
		return held.token, nil
	}
	// A token that goes through our hands is presented by us: it cannot be bound to the caller's certificate.
	token, expires, err := h.cfg.Minter.Mint(ctx, g, audience, scope, "")
	if err != nil {
		if now.Before(held.expires) && (errors.Is(err, fault.Unavailable) || errors.Is(err, fault.Timeout)) {
			return held.token, nil // an outage is bridged; a refusal is an answer
		}
		return secret.Value{}, err
	}
	t.keep(key, kept{token: token, renew: now.Add(expires.Sub(now) / 2), expires: expires})
	return token, nil
}

func (t *tokens) keep(key string, k kept) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil || len(t.kept) >= maxTokens {
		t.kept = map[string]kept{}
	}
	t.kept[key] = k
}

// tokenKey quotes its parts, so that no two lists of them join to one key.
func tokenKey(g *pep.Grant, audience string, scope []string) string {
	p := g.Principal
	user := ""
	if p.User != nil {
		user = p.User.SubjectName()
	}
	return fmt.Sprintf("%q %q %d %q %v %q %q %q", p.Subject(), p.Workload.Thumbprint, p.NotAfter().UnixNano(), user, p.Actors,
		audience, scope, g.Decision.Revision)
}
