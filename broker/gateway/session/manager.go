package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Config is what a [Manager] is made of.
type Config struct {
	// Store holds the sessions; required.
	Store Shared
	// Absolute is how long a session lives at most; zero means 12 h. A session that ends sooner by its own
	// times keeps its end.
	Absolute time.Duration
	// Idle is how long a session lives without activity; zero means 1 h, less than zero for ever.
	Idle time.Duration
	// Cached is how many decoded sessions are kept in memory; zero means 50 000.
	Cached int
	// RefreshTimeout bounds one refresh with all that belongs to it; zero means 30 s.
	RefreshTimeout time.Duration
	// Orphaned is told of a session that ended while its tokens were refreshed: nobody has the new ones, so
	// they should be revoked. Nil means that they are left to expire.
	Orphaned func(Session)
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Log takes what an operator should know; nil means nowhere.
	Log *slog.Logger
}

// The defaults.
const (
	defaultAbsolute       = 12 * time.Hour
	defaultIdle           = time.Hour
	defaultCached         = 50_000
	defaultRefreshTimeout = 30 * time.Second
)

func (c Config) withDefaults() Config {
	if c.Absolute == 0 {
		c.Absolute = defaultAbsolute
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	c.Idle = max(c.Idle, 0)
	if c.Cached == 0 {
		c.Cached = defaultCached
	}
	if c.RefreshTimeout == 0 {
		c.RefreshTimeout = defaultRefreshTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Manager answers who is logged in. It is safe for concurrent use.
type Manager struct {
	Config
	cache    *cache
	activity activity
	watchers watchers
	pending  pending

	mu      sync.Mutex
	flights map[Hash]*flight
	backoff map[Hash]pause
	gone    func(Hash)
}

// New returns a manager on c.Store, which belongs to it from now on. [Manager.Run] must run beside it.
func New(c Config) *Manager {
	m := &Manager{
		Config: c.withDefaults(), activity: activity{seen: map[Hash]*seen{}}, watchers: newWatchers(),
		flights: map[Hash]*flight{}, backoff: map[Hash]pause{},
	}
	m.cache = newCache(m.Cached, m.fetch)
	m.Store.Changed(func(hashes []Hash) {
		m.cache.drop(hashes)
		m.watchers.wake(hashes)
	})
	return m
}

// Gone calls f with each session that this process finds to be over, so that what was derived of it goes too. It is
// called once, before anything else.
func (m *Manager) Gone(f func(Hash)) { m.gone = f }

// tick is how often Run looks: watchers are told of an end within it, and a second is what they are
// promised.
const tick = 250 * time.Millisecond

// Run does what is not done on a request: it writes activity, tells watchers, and stores logouts that could
// not be stored. It returns when ctx ends, with the activity written.
func (m *Manager) Run(ctx context.Context) error {
	var writing sync.WaitGroup
	writing.Go(func() { m.write(ctx) }) // apart, so that no watcher waits for it
	defer writing.Wait()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.watchers.woken:
			m.tell(ctx, m.watchers.take())
		case <-ticker.C:
			_ = m.pending.settle(ctx, m)
			m.tell(ctx, m.watchers.all())
		}
	}
}

// Create begins a session for somebody who just logged in. The id is always a new one: what the browser had
// before is never taken over. With a logout that covers s it fails, as [*Ended].
func (m *Manager) Create(ctx context.Context, s Session) (ID, Session, error) {
	id, now := NewID(), m.Now()
	s.Hash, s.Created, s.Version, s.Tokens.Generation, s.Tokens.Unsure = id.Hash(), now, 1, 1, false
	if s.Absolute.IsZero() {
		s.Absolute = now.Add(m.Absolute)
	}
	if s.Idle == 0 {
		s.Idle = m.Idle
	}
	if s.Issuer == "" || s.Subject == "" || s.over(now, now) {
		return ID{}, Session{}, fault.New(fault.InvalidGrant, "", "the provider gave no usable login")
	}
	if err := m.pending.settle(ctx, m); err != nil {
		return ID{}, Session{}, err
	}
	if err := m.Store.Create(ctx, s); err != nil {
		return ID{}, Session{}, err
	}
	return id, s, nil
}

// Get returns the session of an id. Nothing of that name is [fault.Unauthenticated] with [CodeNone], one
// that is over an [*Ended], and a store that cannot be heard [fault.Unavailable]: also for sessions that
// were in memory a moment before, because nobody knows whether they still are. Get is no activity.
func (m *Manager) Get(ctx context.Context, id ID) (Session, error) {
	s, err := m.get(ctx, id.Hash())
	if err != nil {
		return Session{}, err
	}
	return *s, nil
}

// Look is Get without a copy, for each request. What it returns is shared with all others that look, so it must not
// be changed.
func (m *Manager) Look(ctx context.Context, id ID) (*Session, error) { return m.get(ctx, id.Hash()) }

func (m *Manager) get(ctx context.Context, h Hash) (*Session, error) {
	if err := m.pending.settle(ctx, m); err != nil {
		return nil, err
	}
	s, err := m.cache.get(ctx, h)
	if err != nil {
		if _, over := errors.AsType[*Ended](err); over && m.gone != nil {
			m.gone(h) // ended by another process
		}
		return nil, err
	}
	return m.judge(ctx, s)
}

// fetch is what the cache asks when it does not know.
func (m *Manager) fetch(ctx context.Context, h Hash) (Session, error) {
	s, err := m.load(ctx, h)
	if cause := errors.Unwrap(err); cause != nil && errors.Is(err, fault.Unauthenticated) && fault.From(err).Code() == CodeNone {
		m.Log.WarnContext(ctx, "a stored session cannot be read", "error", cause)
	}
	return s, err
}

// load reads a session from the store, with the limits that count.
func (m *Manager) load(ctx context.Context, h Hash) (Session, error) {
	s, err := m.Store.Load(ctx, h)
	if err != nil {
		return s, err
	}
	return m.limit(s), nil
}

// limit holds a session to the stricter of the limits that it began with and ours: who shortens them means those who are
// logged in, and what was promised to nobody is not lengthened.
func (m *Manager) limit(s Session) Session {
	if end := s.Created.Add(m.Absolute); end.Before(s.Absolute) {
		s.Absolute = end
	}
	if m.Idle > 0 && (s.Idle == 0 || m.Idle < s.Idle) {
		s.Idle = m.Idle
	}
	return s
}

// judge ends a session whose time is over. Before it is called idle the store is asked: others may have
// seen the user.
func (m *Manager) judge(ctx context.Context, s *Session) (*Session, error) {
	now := m.Now()
	if now.Before(s.End()) && s.idle(now, m.activity.last(s)) {
		if err := m.AskOthers(ctx, *s); err != nil {
			return nil, err
		}
	}
	if !s.over(now, m.activity.last(s)) {
		return s, nil
	}
	e := EndOf(*s, ReasonExpired, now)
	if err := m.Store.End(ctx, s.Hash, e); err != nil { // it is over all the same
		m.Log.WarnContext(ctx, "an expired session stays in the store until its time to live", "error", err)
	}
	m.forget(s.Hash)
	return nil, &e
}

// Reread forgets what is in memory, so that each session is asked for once more, by the next request and for those who
// watch it. It is for other sealing keys: what they do not open is no session any more, at no gateway.
func (m *Manager) Reread() {
	m.cache.drop(nil)
	m.watchers.wake(nil)
}

// dropped is for what this process changed itself: it must not wait for the news of its own deeds.
func (m *Manager) dropped(h Hash) {
	m.cache.drop([]Hash{h})
	m.watchers.wake([]Hash{h})
}

// forget is for a session that is over.
func (m *Manager) forget(h Hash) {
	m.dropped(h)
	m.activity.forget(h)
	if m.gone != nil {
		m.gone(h)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.backoff, h)
}

// End ends one session here: its own logout, or an operator's. No other session of the same sid or user is
// touched, and none is refused later: the provider's session lives on, and the next login has the same sid.
// When the store does not take it, it is tried again before anything else is served by this process.
func (m *Manager) End(ctx context.Context, s Session, reason Reason) error {
	e := EndOf(s, reason, m.Now())
	defer m.forget(s.Hash)
	return m.pending.do(ctx, m, ending{end: &e, hash: s.Hash})
}

// Logout ends what a verified logout token covers, on all gateways, and returns the sessions that it ended.
// When the store does not take it, the error says so, and it is tried again before anything else is served
// by this process.
func (m *Manager) Logout(ctx context.Context, l Logout) ([]Session, error) {
	if l.Issuer == "" || l.SID == "" && l.Subject == "" {
		return nil, fault.New(fault.InvalidRequest, "", "a logout names an issuer and a session or a user")
	}
	sessions, err := m.Store.Logout(ctx, l)
	if err != nil {
		m.pending.keep(ctx, m, ending{logout: &l})
		return nil, err
	}
	for _, s := range sessions {
		m.forget(s.Hash)
	}
	return sessions, nil
}

// Settle stores what [Manager.Logout] and [Manager.End] could not, and fails where that is still so.
func (m *Manager) Settle(ctx context.Context) error { return m.pending.settle(ctx, m) }

// List returns the living sessions that an operator asks for, also those whose end by our limits is past: who has other
// limits in force may still serve them.
func (m *Manager) List(ctx context.Context, q Query) ([]Session, error) {
	all, err := m.Store.List(ctx, q)
	for i := range all {
		all[i] = m.limit(all[i])
	}
	return all, err
}
