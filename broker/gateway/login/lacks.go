package login

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// lacks tells the operator once what logins do not bring: what one of them lacks, the next will lack too.
type lacks struct{ refresh, claims sync.Once }

// miss looks at what a login brought, and what the session keeps of it.
func (h *Handler) miss(ctx context.Context, tokens provider.Tokens, kept map[string]json.RawMessage) {
	if tokens.Refresh.IsZero() {
		h.lacks.refresh.Do(func() {
			h.log().WarnContext(ctx, "the login provider gives no refresh token: a session ends with its first access token; let it give the client one, without offline_access", "end", tokens.Expiry)
		})
	}
	var missing []string
	for _, name := range h.Claims {
		if _, ok := kept[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		h.lacks.claims.Do(func() {
			h.log().WarnContext(ctx, "an ID token lacks what provider.claims names: let the provider put it there, and not at its userinfo endpoint alone", "claims", missing)
		})
	}
}
