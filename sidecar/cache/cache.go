package cache

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Fetcher gets the value for a key from its source. Fetch is called for one key at a time, but for
// several keys at once.
type Fetcher[K comparable, V any] interface {
	Fetch(ctx context.Context, key K) (Fetched[V], error)
}

// Fetched is a value with its life.
type Fetched[V any] struct {
	Value V
	// Expires ends the value: it is never served at or after this moment. Required.
	Expires time.Time
	// RenewAfter is when to fetch again; zero means two thirds of the life, less some jitter.
	RenewAfter time.Time
	// Stale is how long after its renewal came due the value is served while the source is silent; zero
	// means not at all.
	Stale time.Duration
}

// From says how fresh a served value is.
type From uint8

// In the words of the proto's ServedFrom.
const (
	Live  From = iota // fetched for whoever asks now
	Fresh             // from memory
	Stale             // from memory, while the source is silent
)

// Served is a value with where it came from.
type Served[V any] struct {
	Value   V
	From    From
	Fetched time.Time
	Expires time.Time
}

// Config bounds a Cache; the zero Config is good.
type Config struct {
	// Name is the metrics' label; empty is fine where there is one cache.
	Name string
	// Max is how many keys are kept, held ones not counted; zero means 1024.
	Max int
	// Timeout bounds one fetch; zero means 10 s.
	Timeout time.Duration
	// Jitter returns a number in [0, 1); nil means a random one.
	Jitter func() float64
	// Metrics may be nil.
	Metrics *Metrics
}

func (c Config) max() int {
	if c.Max > 0 {
		return c.Max
	}
	return 1024
}

func (c Config) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

func (c Config) jitter() float64 {
	if c.Jitter != nil {
		return c.Jitter()
	}
	return rand.Float64()
}

// Cache keeps values by key. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	cfg     Config
	fetcher Fetcher[K, V]
	ctx     context.Context // ends all flights
	cancel  context.CancelFunc

	mu      sync.Mutex
	entries map[K]*entry[V]
}

// New returns an empty Cache over f. Close it to end its timers and flights.
func New[K comparable, V any](f Fetcher[K, V], cfg Config) *Cache[K, V] {
	ctx, cancel := context.WithCancel(context.Background())
	return &Cache[K, V]{cfg: cfg, fetcher: f, ctx: ctx, cancel: cancel, entries: map[K]*entry[V]{}}
}

// Get returns the value for key: from memory where it may be served, else from the one flight for it.
// A caller that goes away leaves the flight to the others.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (Served[V], error) {
	known, flight, err := c.look(key, time.Now(), true)
	return await(ctx, known, flight, err)
}

// Warm has the value for key ready, as Get does, without counting as a use.
func (c *Cache[K, V]) Warm(ctx context.Context, key K) error {
	known, flight, err := c.look(key, time.Now(), false)
	_, err = await(ctx, known, flight, err)
	return err
}

// await returns what is known, or what the flight brings.
func await[V any](ctx context.Context, known Served[V], f *flight[V], err error) (Served[V], error) {
	if f == nil {
		return known, err
	}
	select {
	case <-f.done:
		return f.served, f.err
	case <-ctx.Done():
		return known, fault.New(fault.Timeout, "", "the caller did not wait for the credential broker").Because(ctx.Err())
	}
}

// look returns what is known of key at once, or the flight to wait for.
func (c *Cache[K, V]) look(key K, now time.Time, use bool) (Served[V], *flight[V], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, err := c.entry(key)
	if err != nil {
		return Served[V]{}, nil, err
	}
	if use {
		e.used, e.lastUsed = true, now
	}
	if e.servable(now) {
		if e.err == nil && !now.Before(e.due) {
			c.start(key, e)
		}
		return e.serve(now), nil, nil
	}
	if now.Before(e.quiet) {
		return Served[V]{}, nil, e.err
	}
	return Served[V]{}, c.start(key, e), nil
}

// entry returns the entry for key, a new one if need be.
func (c *Cache[K, V]) entry(key K) (*entry[V], error) {
	if e := c.entries[key]; e != nil {
		return e, nil
	}
	if c.ctx.Err() != nil {
		return nil, fault.New(fault.Unavailable, "STOPPING", "this process is about to stop")
	}
	if !c.makeRoom() {
		return nil, fault.New(fault.Overloaded, "CACHE_FULL", "too many different tokens and credentials are asked for at once")
	}
	e := &entry[V]{}
	c.entries[key] = e
	return e, nil
}

// makeRoom evicts the key that was not used for the longest time when the cache is full. The scan is
// linear, over at most Max entries, and only for a new key.
func (c *Cache[K, V]) makeRoom() bool {
	var oldest K
	var found *entry[V]
	free := c.cfg.max()
	for key, e := range c.entries {
		if e.held {
			continue
		}
		free--
		if e.flight == nil && (found == nil || e.lastUsed.Before(found.lastUsed)) {
			oldest, found = key, e
		}
	}
	if free > 0 {
		return true
	}
	if found != nil {
		c.drop(oldest, found)
	}
	return found != nil
}

// drop forgets an entry. A flight for it goes on and answers those who wait, but is not kept.
func (c *Cache[K, V]) drop(key K, e *entry[V]) {
	e.stop()
	delete(c.entries, key)
}

// Forget drops the value for key, for instance because whom it was for refused it. A held key is
// fetched again at once.
func (c *Cache[K, V]) Forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return
	}
	c.drop(key, e)
	if e.held {
		c.hold(key)
	}
}

// Keys returns the keys whose value can be served, and that are held or were used within as long as a
// value lives.
func (c *Cache[K, V]) Keys() (keys []K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for key, e := range c.entries {
		if e.servable(now) && (e.held || now.Sub(e.lastUsed) < e.value.Expires.Sub(e.fetched)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Close ends the timers and the flights; what waits for one gets its error.
func (c *Cache[K, V]) Close() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, e := range c.entries {
		c.drop(key, e)
	}
}
