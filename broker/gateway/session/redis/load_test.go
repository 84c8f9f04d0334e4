package redis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// load are requests at all gateways, one after the other at each, until it is stopped.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	done   sync.WaitGroup
	gates  []*gate
	last   atomic.Int64 // when somebody was last served
}

// gate is what a gateway answered.
type gate struct {
	served atomic.Int64
	down   atomic.Bool // its latest answer was 503
}

// startLoad asks for the sessions in turn. Anything but the session and 503 fails the test; what has ended
// may be said so.
func startLoad(t *testing.T, managers []*session.Manager, ids []session.ID) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, cancel: cancel}
	for _, m := range managers {
		g := &gate{}
		l.gates = append(l.gates, g)
		l.done.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.ask(ctx, m, ids[i%len(ids)], g)
				<-time.After(time.Millisecond)
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) ask(ctx context.Context, m *session.Manager, id session.ID, g *gate) {
	_, err := m.Get(ctx, id)
	switch {
	case err == nil:
		g.served.Add(1)
		g.down.Store(false)
		l.last.Store(time.Now().UnixNano())
	case errors.Is(err, fault.Unavailable) && fault.From(err).RetryAfter > 0:
		g.down.Store(true)
	case ctx.Err() == nil && !errors.As(err, new(*session.Ended)):
		l.t.Errorf("a request was answered: %v", err)
	}
}

// served is how often the gateway answered with a session.
func (l *load) served(gateway int) int64 { return l.gates[gateway].served.Load() }

func (l *load) allDown() bool {
	for _, g := range l.gates {
		if !g.down.Load() {
			return false
		}
	}
	return true
}

func (l *load) lastServed() time.Time { return time.Unix(0, l.last.Load()) }

func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}
