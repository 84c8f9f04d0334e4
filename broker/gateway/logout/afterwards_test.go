package logout_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/logout"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// TestTheGatewayEnds: the refresh tokens of those who have just logged out are taken back before, as far as the time goes.
func TestTheGatewayEnds(t *testing.T) {
	leaving := make(chan struct{})
	w := newWorld(t, func(h *logout.Handler) { h.Leaving, h.RevokeAfter = leaving, time.Hour })
	out := func() {
		b := w.tab(t)
		b.Do("POST", "/bff/logout", "", append(script, bff.HeaderCSRF+": "+b.csrf(t))...)
	}
	const users = 40
	for range users {
		out()
	}
	if n := len(w.idp.Calls(openid.PathRevoke)); n != 0 {
		t.Errorf("%d are taken back before", n)
	}
	close(leaving)
	w.Settle(t.Context())
	if n := len(w.idp.Calls(openid.PathRevoke)); n != users {
		t.Errorf("%d of %d are taken back", n, users)
	}
	w.idp.Break(openid.PathRevoke, providertest.Hang())
	out() // one that was in flight
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if w.Settle(ctx); time.Since(began) > 5*time.Second {
		t.Errorf("the end waits for a provider that hangs: %v", time.Since(began))
	}
}

// forgetful is a store that may be away.
type forgetful struct {
	session.Shared
	away atomic.Bool
}

func (f *forgetful) Logout(ctx context.Context, l session.Logout) ([]session.Session, error) {
	if f.away.Load() {
		return nil, session.Unavailable(nil)
	}
	return f.Shared.Logout(ctx, l)
}

// TestNotStoredYet: a provider that sends its token once more, since the store was away, is told that it is done when it is.
func TestNotStoredYet(t *testing.T) {
	store := &forgetful{Shared: session.NewMemory(nil)}
	w := newWorld(t, func(h *logout.Handler) { h.Sessions = sessiontest.Manage(t, session.Config{Store: store}) })
	token := w.idp.LogoutToken("gateway", "alice", "")
	store.away.Store(true)
	for i := range 3 {
		if res := w.send(t, token); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("time %d, while the store is away: %d", i+1, res.StatusCode)
		}
	}
	store.away.Store(false)
	if res := w.send(t, token); res.StatusCode != http.StatusOK {
		t.Errorf("when it is back: %d", res.StatusCode)
	}
}
