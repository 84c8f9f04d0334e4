package session

import (
	"context"
	"sync"
)

// cache holds decoded sessions, and only what the store would tell us of if it changed.
//
// The one danger is a value that was read before a change and put here after the news of it. So every load
// is registered before it asks; news of its session, or of everything, marks it, and what was marked is
// handed to those who waited and not kept.
type cache struct {
	fetch func(context.Context, Hash) (Session, error)
	most  int

	mu       sync.RWMutex
	sessions map[Hash]*Session // shared with who asked, and never changed
	loads    map[Hash]*load
}

// load is one question to the store, for all who have it.
type load struct {
	done    chan struct{}
	session *Session
	err     error
	stale   bool // guarded by the cache's mu
}

func newCache(most int, fetch func(context.Context, Hash) (Session, error)) *cache {
	return &cache{fetch: fetch, most: most, sessions: map[Hash]*Session{}, loads: map[Hash]*load{}}
}

// get returns the session from memory, or asks for it.
func (c *cache) get(ctx context.Context, h Hash) (*Session, error) {
	c.mu.RLock()
	s, ok := c.sessions[h]
	c.mu.RUnlock()
	if ok {
		return s, nil
	}
	l := c.load(ctx, h)
	select {
	case <-l.done:
		return l.session, l.err
	case <-ctx.Done():
		return nil, Unavailable(ctx.Err())
	}
}

// load joins the load that is under way, unless news has come since: then its answer is an old one.
func (c *cache) load(ctx context.Context, h Hash) *load {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.loads[h]; l != nil && !l.stale {
		return l
	}
	l := &load{done: make(chan struct{})}
	c.loads[h] = l
	// For all who wait, so it does not end with the first of them.
	go c.run(context.WithoutCancel(ctx), h, l)
	return l
}

func (c *cache) run(ctx context.Context, h Hash, l *load) {
	var s Session
	if s, l.err = c.fetch(ctx, h); l.err == nil {
		l.session = &s
	}
	c.mu.Lock()
	if c.loads[h] == l {
		delete(c.loads, h)
	}
	if l.err == nil && !l.stale {
		c.put(l.session)
	}
	c.mu.Unlock()
	close(l.done)
}

// put makes room by dropping any other: which one costs a question to the store, and no more.
func (c *cache) put(s *Session) {
	for h := range c.sessions {
		if len(c.sessions) < c.most {
			break
		}
		delete(c.sessions, h)
	}
	c.sessions[s.Hash] = s
}

// drop forgets sessions that changed; nil are all.
func (c *cache) drop(hashes []Hash) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hashes == nil {
		clear(c.sessions)
		for _, l := range c.loads {
			l.stale = true
		}
		return
	}
	for _, h := range hashes {
		delete(c.sessions, h)
		if l := c.loads[h]; l != nil {
			l.stale = true
		}
	}
}
