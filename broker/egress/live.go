package egress

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/fault"
)

// live are the acts under way. A request that was decided under the old policy just before a change must
// not slip in behind the look at all others: it enters with the number of changes that it read before it was
// decided, and is looked at once more if there has been another.
type live struct {
	changes atomic.Uint64
	mu      sync.Mutex
	acts    map[*act]struct{}
}

func (l *live) enter(a *act, before uint64) error {
	l.mu.Lock()
	if l.acts == nil {
		l.acts = map[*act]struct{}{}
	}
	l.acts[a] = struct{}{}
	l.mu.Unlock()
	if l.changes.Load() == before {
		return nil
	}
	return a.handler.cfg.Point.Still(a, a.grant)
}

func (l *live) leave(a *act) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.acts, a)
}

func (l *live) all() []*act {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.acts))
}

// look asks for each act again, and cuts it where the answer is not yes. An answer that is an error is not
// a yes.
func (l *live) look(ctx context.Context) {
	l.changes.Add(1)
	for _, a := range l.all() {
		if err := a.still(ctx); err != nil && ctx.Err() == nil {
			a.cut(fault.New(fault.Denied, "POLICY_CHANGED", "the policy no longer allows it").Because(err))
			a.handler.cfg.Metrics.cut(a.label())
		}
	}
}

// close cuts the upgraded connections, which http.Server.Shutdown has lost sight of. Streams are its own to
// wait for.
func (l *live) close() {
	for _, a := range l.all() {
		if a.upgraded.Load() {
			a.cut(fault.New(fault.Unavailable, "SHUTTING_DOWN", "the broker is going away"))
		}
	}
}

// cut ends a stream. net/http tells the caller by breaking it off: an orderly end would be a lie.
func (a *act) cut(why *fault.Error) {
	a.handler.cfg.Logger.Info("a stream was cut", "service", a.label(),
		"subject", a.grant.Principal.Subject(), "decision", a.grant.ID, "reason", why.Code(), "error", why)
	a.cancel(why)
}
