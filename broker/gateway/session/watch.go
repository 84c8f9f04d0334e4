package session

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/intercom-broker/intercom/broker/fault"
)

// watchers are the event streams and WebSockets that end with their session.
type watchers struct {
	woken chan struct{} // of one place

	mu     sync.Mutex
	of     map[Hash][]chan Ended
	wakeUp map[Hash]bool
}

func newWatchers() watchers {
	return watchers{woken: make(chan struct{}, 1), of: map[Hash][]chan Ended{}, wakeUp: map[Hash]bool{}}
}

// Watch returns a channel that gets the session's end, with its reason, within a second of it, and is then
// closed. It is closed without a word when ctx ends, which must happen some day.
func (m *Manager) Watch(ctx context.Context, h Hash) <-chan Ended {
	ch := make(chan Ended, 1)
	m.watchers.add(h, ch)
	m.watchers.wake([]Hash{h}) // it may be over already
	context.AfterFunc(ctx, func() {
		if m.watchers.remove(h, ch) {
			close(ch)
		}
	})
	return ch
}

func (w *watchers) add(h Hash, ch chan Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of[h] = append(w.of[h], ch)
}

// remove reports whether ch was still there: who removes it closes it.
func (w *watchers) remove(h Hash, ch chan Ended) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.of[h], ch)
	if i < 0 {
		return false
	}
	if w.of[h] = slices.Delete(w.of[h], i, i+1); len(w.of[h]) == 0 {
		delete(w.of, h)
	}
	return true
}

// wake has Run look at sessions that changed; nil are all. It never waits.
func (w *watchers) wake(hashes []Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if hashes == nil {
		for h := range w.of {
			w.wakeUp[h] = true
		}
	}
	for _, h := range hashes {
		if w.of[h] != nil {
			w.wakeUp[h] = true
		}
	}
	if len(w.wakeUp) > 0 {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

func (w *watchers) take() (hashes []Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for h := range w.wakeUp {
		hashes = append(hashes, h)
	}
	clear(w.wakeUp)
	return hashes
}

func (w *watchers) all() (hashes []Hash) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for h := range w.of {
		hashes = append(hashes, h)
	}
	return hashes
}

// end tells all who watch h, and is done with them.
func (w *watchers) end(h Hash, e Ended) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.of[h] {
		ch <- e // of one place, and this is the only word
		close(ch)
	}
	delete(w.of, h)
}

// askAtOnce is how many watched sessions are asked for at a time, when all have to be: after a connection
// was lost.
const askAtOnce = 32

// tell looks at watched sessions and tells of those that are over. Most are in memory. When the store does
// not answer the round ends: each question would take its whole deadline, and the next tick asks again.
func (m *Manager) tell(ctx context.Context, hashes []Hash) {
	round, ctx := errgroup.WithContext(ctx)
	round.SetLimit(askAtOnce)
	for _, h := range hashes {
		if ctx.Err() != nil {
			break
		}
		round.Go(func() error { return m.look(ctx, h) })
	}
	_ = round.Wait()
}

// look tells of one session, and returns an error when nobody knows about it.
func (m *Manager) look(ctx context.Context, h Hash) error {
	_, err := m.get(ctx, h)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Ended](err); ok {
		m.watchers.end(h, *e)
		return nil
	}
	if !errors.Is(err, fault.Unauthenticated) {
		return err
	}
	// Nothing is known of it: the tombstone is gone, or the store was emptied.
	m.watchers.end(h, Ended{Reason: ReasonExpired, At: m.Now()})
	return nil
}
