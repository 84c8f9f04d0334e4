package session

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/singleflight"
)

// maxPending bounds what is kept while the store is away. What does not fit ends with the access token: the
// provider does not refresh it.
const maxPending = 4096

// pending are the ends that the store did not take. A provider calls once and never again, so they are kept
// here, and nobody is served before they are stored.
type pending struct {
	waiting atomic.Int32 // how many there are, so that the usual case takes no lock
	// settling is one attempt for all who come meanwhile: each of its own would wait a deadline after the
	// other.
	settling singleflight.Group

	mu      sync.Mutex
	endings []ending
}

// ending is a logout, or the end of one session.
type ending struct {
	logout *Logout
	end    *Ended
	hash   Hash
}

func (e ending) store(ctx context.Context, s Shared) error {
	if e.logout != nil {
		_, err := s.Logout(ctx, *e.logout)
		return err
	}
	return s.End(ctx, e.hash, *e.end)
}

// do stores e, and keeps it when that fails.
func (p *pending) do(ctx context.Context, m *Manager, e ending) error {
	err := e.store(ctx, m.Store)
	if err != nil {
		p.keep(ctx, m, e)
	}
	return err
}

func (p *pending) keep(ctx context.Context, m *Manager, e ending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.endings) == maxPending {
		m.Log.ErrorContext(ctx, "a logout could not be stored and there is no room to keep it: its sessions end when their access tokens do")
		return
	}
	p.endings = append(p.endings, e)
	p.waiting.Store(int32(len(p.endings)))
}

// settle stores what is kept, in order, and fails when the store still does not take it.
func (p *pending) settle(ctx context.Context, m *Manager) error {
	if p.waiting.Load() == 0 {
		return nil
	}
	_, err, _ := p.settling.Do("", func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		for e, ok := p.first(); ok; e, ok = p.first() {
			if err := e.store(ctx, m.Store); err != nil {
				return nil, err
			}
			p.settled()
		}
		return nil, nil
	})
	return err
}

func (p *pending) first() (ending, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.endings) == 0 {
		return ending{}, false
	}
	return p.endings[0], true
}

func (p *pending) settled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endings = p.endings[1:]
	p.waiting.Store(int32(len(p.endings)))
}
