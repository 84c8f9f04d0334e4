package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/telemetry"
)

// A gateway leaves in three steps, so that what stands before it loses no request. For config.drain all is served as
// ever, while readiness says no and each answer asks its connection to go. Then nobody new is let in, and streams are
// asked to connect elsewhere. At last what is in flight is waited for, and what logouts have left to do at the provider,
// for config.grace. Without the first step a proxy may send a request on a kept connection in the very moment in which it
// is closed, and only what is safe to repeat would be saved (RFC 9112, section 9.5).

// leave closes leaving when ctx ends, and returns a context that ends the drain later, or with behind: without what it
// stands on, the gateway has nothing to serve.
func (g *Gateway) leave(ctx, behind context.Context) context.Context {
	late, end := context.WithCancel(behind)
	context.AfterFunc(ctx, func() {
		g.parts.log().Info("leaving: readiness says no, all is served as ever", "drain", g.cfg.Drain.Std())
		close(g.leaving)
		time.AfterFunc(g.cfg.Drain.Std(), func() {
			g.parts.log().Info("closing: nobody new is let in, requests in flight are waited for", "grace", g.cfg.grace())
			end()
		})
	})
	context.AfterFunc(late, func() { close(g.draining) })
	return late
}

// serve serves browsers until ctx ends, and then, within the grace, what is in flight and what it leaves to do.
func (g *Gateway) serve(ctx context.Context) error {
	within, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(g.cfg.grace(), cancel) })
	if err := g.serveFront(ctx); err != nil {
		return err
	}
	g.out.Settle(within)
	return nil
}

// parting asks connections to go once the gateway leaves: `Connection: close`, which net/http makes a GOAWAY of HTTP/2.
// An upgrade takes its connection away from HTTP; it is told to go by what it speaks.
func (g *Gateway) parting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isClosed(g.leaving) && !hygiene.IsUpgrade(r) {
			w.Header()["Connection"] = []string{"close"}
		}
		next.ServeHTTP(w, r)
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// everyones are the checks of /readyz that fail at all gateways alike. They are no reason to send requests elsewhere: a
// provider that is being upgraded would take every gateway out of service, and with them all who are logged in.
func everyones() []string { return []string{"provider", "services"} }

// ready answers whoever chooses among gateways, without a word on why: that stands on the admin door.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if isClosed(g.leaving) || !g.fit() {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("not ready\n"))
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

// fit reports whether all serves that is this gateway's own.
func (g *Gateway) fit() bool {
	for name, check := range g.parts.checks {
		if !slices.Contains(everyones(), name) && !telemetry.Serves(check()) {
			return false
		}
	}
	return true
}
