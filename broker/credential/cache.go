package credential

import (
	"context"
	"time"
)

// From is where a served credential came from.
type From uint8

// A credential is Live when the store was asked for it, from the Cache while it is fresh, and Stale when
// the store does not answer and the budget is not spent.
const (
	Live From = iota
	Cached
	Stale
)

// String returns the word that stands in replies, metrics and audit entries.
func (f From) String() string {
	switch f {
	case Live:
		return "live"
	case Cached:
		return "cache"
	default:
		return "stale"
	}
}

// Served is a credential as it was served.
type Served struct {
	Credential
	From From
	// Age is how long ago the store was asked for it.
	Age time.Duration
	// HardDeadline is when it must no longer be used, whatever the store says or does not say.
	HardDeadline time.Time
}

// CacheConfig configures a Cache. The zero CacheConfig is ready for use.
type CacheConfig struct {
	// Fresh is how long an answer is served without asking again; 0 means 30 s.
	Fresh time.Duration
	// Timeout bounds one question to the store, however many callers wait for it; 0 means 10 s.
	Timeout time.Duration
	// Patience is how long a caller waits for a slow store while there is a stale answer that it may
	// have; 0 means 500 ms.
	Patience time.Duration
	// Backoff is the shortest time between a failed question and the next one for the same name; 0 means 1 s.
	Backoff time.Duration
	// Size is how many names are kept; 0 means 4096.
	Size int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

// Cache serves credentials of one store.
type Cache struct {
	store Store
	cfg   CacheConfig
}

// NewCache returns an empty Cache before store.
func NewCache(store Store, cfg CacheConfig) *Cache { return &Cache{store: store, cfg: cfg} }

// Fetch returns the named credential. stale is the caller's budget: how long an outage of the store it
// may be carried over.
func (c *Cache) Fetch(ctx context.Context, name Name, stale time.Duration) (Served, error) {
	panic("not yet")
}

// Forget drops what is kept of name, so that the next Fetch asks the store.
func (c *Cache) Forget(name Name) {}
