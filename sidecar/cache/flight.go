package cache

import (
	"context"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	// repeat is how long a final answer is repeated without asking again.
	repeat = time.Second
	// firstRetry and lastRetry bound the wait between two tries at a silent source.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// start returns the flight for key, a new one if there is none.
func (c *Cache[K, V]) start(key K, e *entry[V]) *flight[V] {
	if e.flight != nil {
		return e.flight
	}
	e.stop()
	f := &flight[V]{done: make(chan struct{})}
	e.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.cfg.timeout())
		defer cancel()
		got, err := c.fetcher.Fetch(ctx, key)
		c.land(key, e, f, got, err)
	}()
	return f
}

// land takes in the outcome of f and answers those who wait. An entry that was dropped meanwhile takes
// in nothing: what was forgotten on purpose must not come back with an older flight.
func (c *Cache[K, V]) land(key K, e *entry[V], f *flight[V], got Fetched[V], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	now := time.Now()
	if err == nil && !now.Before(got.Expires) {
		err = fault.New(fault.Unavailable, "EXPIRED", "what the credential broker handed out had ended already: compare the clocks")
	}
	c.cfg.Metrics.fetched(c.cfg.Name, err)
	e.flight = nil
	f.err = err
	if err == nil {
		f.served = Served[V]{Value: got.Value, From: Live, Fetched: now, Expires: got.Expires}
	}
	if c.entries[key] == e {
		c.settle(key, e, got, err, now)
	}
}

// settle decides what the entry does next.
func (c *Cache[K, V]) settle(key K, e *entry[V], got Fetched[V], err error, now time.Time) {
	if err == nil {
		e.keep(got, now, c.cfg.jitter())
		c.wakeAt(key, e, e.due, now)
		return
	}
	e.err = err
	e.failures++
	final := !silent(err)
	if final {
		e.value, e.has, e.quiet = Fetched[V]{}, false, now.Add(repeat)
	}
	switch {
	case e.held || e.has:
		c.wakeAt(key, e, now.Add(c.pause(e)), now)
	case final:
		c.wakeAt(key, e, e.quiet, now)
	default:
		c.drop(key, e)
	}
}

// silent reports whether err says only that the source cannot answer now. Overloaded is one of them:
// being asked to come back later says nothing about permission.
func silent(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Overloaded:
		return true
	default:
		return false
	}
}

// pause is how long to wait before the next try: doubling, with jitter of a quarter up or down, and not
// before the moment that the source itself named.
func (c *Cache[K, V]) pause(e *entry[V]) time.Duration {
	wait := lastRetry
	if shift := e.failures - 1; shift < 5 {
		wait = firstRetry << shift
	}
	wait = wait*3/4 + time.Duration(c.cfg.jitter()*float64(wait)/2)
	return max(wait, fault.From(e.err).RetryAfter)
}

func (c *Cache[K, V]) wakeAt(key K, e *entry[V], at, now time.Time) {
	e.wake(at.Sub(now), func() { c.tick(key, e) })
}

// tick is what happens when an entry's timer fires: renew it, try again, or let it go.
func (c *Cache[K, V]) tick(key K, e *entry[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.entries[key] != e || e.flight != nil {
		return
	}
	alive := e.has && now.Before(e.value.Expires)
	switch {
	case e.held, alive && e.used:
		c.start(key, e)
	case alive: // nobody asked since the last fetch
		c.wakeAt(key, e, e.value.Expires, now)
	default:
		c.drop(key, e)
	}
}
