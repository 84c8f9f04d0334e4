package credential

import (
	"cmp"
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
)

// From is where a served credential came from.
type From uint8

// A credential is Live when the store was asked for it just now, Cached while an earlier answer is fresh,
// and Stale when the store does not answer and the caller's budget is not spent.
const (
	Live From = iota
	Cached
	Stale
)

// String returns the word that stands in replies, metrics and audit entries.
func (f From) String() string { return [...]string{"live", "cache", "stale"}[min(f, Stale)] }

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
	// Backoff is the shortest time between a question that failed and the next one for the same name:
	// an outage or an unknown name costs the store at most one question per name and Backoff; 0 means 1 s.
	Backoff time.Duration
	// Size is how many names are kept, the least recently used goes first; 0 means 4096.
	Size int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics counts; nil means nobody does.
	Metrics *Metrics
}

func (cfg CacheConfig) withDefaults() CacheConfig {
	cfg.Fresh = cmp.Or(cfg.Fresh, 30*time.Second)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 500*time.Millisecond)
	cfg.Backoff = cmp.Or(cfg.Backoff, time.Second)
	cfg.Size = cmp.Or(cfg.Size, 4096)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return cfg
}

// Cache stands before a [Store] and asks it once for however many callers.
//
// An answer is fresh for CacheConfig.Fresh and served without a question; in the last third of that time
// the first caller sets off the next question and does not wait for it. A fresh answer that the store
// does not confirm in time is served as [Stale], for as long as the caller's own budget allows: its hard
// deadline is asked + Fresh + stale, or the credential's own end where that is earlier. An outage of up to
// `stale` is thus survived wherever it begins, and at the hard deadline the credential is refused with
// the store's reason.
//
// An outage is fault.Unavailable or fault.Timeout. Every other failure is an answer: what was kept is
// forgotten at once, since a store that says "denied" or "unknown" has revoked it.
//
// While the store is out, nobody waits for it who has a stale answer: the questions go on behind the
// callers, one per name and Backoff.
type Cache struct {
	store   Store
	cfg     CacheConfig
	flights singleflight.Group
	entries *table
}

// NewCache returns an empty Cache before store.
func NewCache(store Store, cfg CacheConfig) *Cache {
	cfg = cfg.withDefaults()
	return &Cache{store: store, cfg: cfg, entries: newTable(cfg)}
}

// Fetch returns the named credential. stale is the caller's budget: how long an outage of the store it
// may be carried over; zero or less means not at all.
func (c *Cache) Fetch(ctx context.Context, name Name, stale time.Duration) (Served, error) {
	served, err := c.fetch(ctx, name, max(stale, 0))
	c.cfg.Metrics.fetched(served.From, err)
	return served, err
}

func (c *Cache) fetch(ctx context.Context, name Name, stale time.Duration) (Served, error) {
	if err := name.Check(); err != nil {
		return Served{}, err
	}
	v := c.look(name, stale)
	switch {
	case v.fresh && v.due:
		c.ask(ctx, name)
		return v.serve(Cached), nil
	case v.fresh:
		return v.serve(Cached), nil
	case v.held:
		return v.fallBack()
	case v.usable && v.failure != nil:
		c.ask(ctx, name)
		return v.serve(Stale), nil
	default:
		return c.wait(ctx, name, stale, v.usable)
	}
}

// wait asks the store and waits for its answer, for ctx, and, where there is something to fall back on,
// for Patience. What it falls back on is looked up afterwards: in the meantime the store may have
// said no, or somebody called Forget.
func (c *Cache) wait(ctx context.Context, name Name, stale time.Duration, usable bool) (Served, error) {
	var patience <-chan time.Time
	if usable {
		timer := time.NewTimer(c.cfg.Patience)
		defer timer.Stop()
		patience = timer.C
	}
	flight := c.ask(ctx, name)
	for {
		select {
		case result := <-flight:
			return c.land(name, stale, result)
		case <-ctx.Done():
			return Served{}, waited(ctx.Err())
		case <-patience:
			if v := c.look(name, stale); v.usable {
				return v.serve(Stale), nil
			}
			patience = nil
		}
	}
}

func waited(cause error) error {
	return fault.New(fault.Timeout, "", "the caller's deadline passed before the credential store answered").Because(cause)
}

func (c *Cache) land(name Name, stale time.Duration, result singleflight.Result) (Served, error) {
	if result.Err != nil {
		if v := c.look(name, stale); v.usable && outage(result.Err) {
			return v.serve(Stale), nil
		}
		return Served{}, result.Err
	}
	v := result.Val.(answer).view(c.cfg, c.cfg.Now(), stale)
	if !v.usable {
		return Served{}, expired()
	}
	return v.serve(Live), nil
}

func expired() *fault.Error {
	return fault.New(fault.Unavailable, ReasonExpired, "the credential that the store has is no longer valid")
}

// outage reports whether err says nothing about the credential, only that the store does not answer.
func outage(err error) bool {
	kind := fault.KindOf(err)
	return kind == fault.Unavailable || kind == fault.Timeout
}

// ask puts the question to the store, or joins those who wait for its answer already. The flight belongs
// to nobody: it keeps the first caller's values, for its trace, but neither its deadline nor its
// cancellation, which would fail all the others.
func (c *Cache) ask(ctx context.Context, name Name) <-chan singleflight.Result {
	return c.flights.DoChan(string(name), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
		defer cancel()
		return c.fly(ctx, name)
	})
}

// fly looks once more before it asks: of many callers who found nothing, the last may come here when the
// flight of the first has landed already.
func (c *Cache) fly(ctx context.Context, name Name) (answer, error) {
	v := c.look(name, 0)
	switch {
	case v.fresh && !v.due:
		return v.answer, nil
	case v.held:
		return answer{}, v.failure
	}
	start := c.entries.begin(c.generation(), c.cfg.Now())
	got, err := c.store.Read(ctx, name)
	if err != nil {
		err = classify(ctx, err)
	} else if !got.NotAfter.IsZero() && !c.cfg.Now().Before(got.NotAfter) {
		err = expired()
	}
	c.cfg.Metrics.asked(c.cfg.Now().Sub(start.asked), err)
	a := answer{Credential: got, asked: start.asked, generation: start.generation}
	c.entries.land(name, start, a, err, c.cfg.Now())
	return a, err
}

// classify makes a timeout of an error that a store returned raw when the flight's time was over.
func classify(ctx context.Context, err error) error {
	if _, ours := errors.AsType[*fault.Error](err); !ours && ctx.Err() != nil {
		return fault.New(fault.Timeout, "STORE_SLOW", "the credential store did not answer in time").Because(err)
	}
	return err
}

// Doubt says that what is kept of name may be outdated, since whoever it is for did not take it: the next Fetch
// asks the store. Unlike [Cache.Forget] it takes nothing away, so that an outage is bridged as before.
func (c *Cache) Doubt(name Name) { c.entries.doubt(name, c.cfg.Now()) }

// Forget drops what is kept of name, so that the next Fetch asks the store, and so that the answer of a
// question that is under way is not kept.
func (c *Cache) Forget(name Name) {
	c.entries.forget(name)
	c.flights.Forget(string(name))
}

func (c *Cache) look(name Name, stale time.Duration) view {
	return c.entries.look(name, c.generation(), c.cfg.Now(), stale)
}

func (c *Cache) generation() uint64 {
	if g, ok := c.store.(Generational); ok {
		return g.Generation()
	}
	return 0
}
