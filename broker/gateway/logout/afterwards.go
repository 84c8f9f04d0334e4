package logout

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
)

const (
	// browserTime is many times what a browser takes to get to the provider.
	browserTime = 10 * time.Second
	// revokeTimeout bounds what nobody waits for.
	revokeTimeout = 10 * time.Second
	// atOnce is how many refresh tokens are taken back at a time: there are many when a gateway ends, or all of a provider's
	// sessions do.
	atOnce = 16
)

// afterwards is what there is to do at the provider when a logout is done here. The zero value is ready for use.
type afterwards struct {
	all   sync.WaitGroup
	once  sync.Once
	slots chan struct{}
}

// slot returns when there is room for one more, and gives the room back when the function that it returns is called.
func (a *afterwards) slot() (leave func()) {
	a.once.Do(func() { a.slots = make(chan struct{}, atOnce) })
	a.slots <- struct{}{}
	return func() { <-a.slots }
}

// revokeLater takes the refresh token back, when the browser has been at the provider. Before that it would take us out of the
// provider's session (as Keycloak understands it), and we were not told of the end of those at our other origins. A gateway
// that ends does not wait: nobody else knows of the token.
func (h *Handler) revokeLater(ctx context.Context, s session.Session) {
	h.afterwards.all.Go(func() {
		select {
		case <-time.After(cmp.Or(h.RevokeAfter, browserTime)):
		case <-h.Leaving:
		}
		h.revoke(ctx, s)
	})
}

// revokeAll takes refresh tokens back that the provider may not have ended with their session.
func (h *Handler) revokeAll(ctx context.Context, ended []session.Session) {
	for _, s := range ended {
		h.afterwards.all.Go(func() { h.revoke(ctx, s) })
	}
}

func (h *Handler) revoke(ctx context.Context, s session.Session) {
	if s.Tokens.Refresh.IsZero() {
		return
	}
	defer h.afterwards.slot()()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout) // the request is over
	defer cancel()
	if err := h.Provider.Revoke(ctx, s.Tokens.Refresh); err != nil {
		h.log().WarnContext(ctx, "a refresh token is left to its end at the provider", "error", err)
	}
}

// Settle returns when all refresh tokens of sessions that were ended here are taken back, or when ctx ends. It is for the end
// of the gateway, when [Handler.Leaving] is closed and nobody asks for a logout any more.
func (h *Handler) Settle(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		h.afterwards.all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		h.log().WarnContext(ctx, "refresh tokens are left to their end at the provider: the time to end is over")
	}
}
