package login

import (
	"context"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
)

const (
	// Life is how long a user may take at the provider.
	Life = 10 * time.Minute
	// perBrowser is how many logins one browser cookie may have under way; the oldest goes.
	perBrowser = 8
	// inMemory bounds what one process keeps: of each login two things.
	inMemory = 100_000
)

// Store keeps transactions that are under way. A failure is fault.Unavailable.
type Store interface {
	// Put keeps a transaction for [Life]. Of those of one browser the latest eight are kept.
	Put(ctx context.Context, browser [32]byte, key string, sealed []byte) error
	// Keep keeps something else for [Life], and counts it to no browser.
	Keep(ctx context.Context, key string, sealed []byte) error
	// Look returns what is kept and leaves it; nil means that there is none.
	Look(ctx context.Context, key string) ([]byte, error)
	// Take returns a transaction and forgets it, so that it is used once; nil means that there is none.
	Take(ctx context.Context, key string) ([]byte, error)
}

// Memory is a Store for one process.
type Memory struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[string]entry
	of      map[[32]byte][]string // the oldest first
	swept   time.Time
}

type entry struct {
	sealed  []byte
	browser [32]byte
	end     time.Time
}

// NewMemory returns an empty one. A nil now is time.Now.
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{now: now, entries: map[string]entry{}, of: map[[32]byte][]string{}}
}

// Put implements [Store].
func (m *Memory) Put(_ context.Context, browser [32]byte, key string, sealed []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.keep(key, entry{sealed, browser, m.now().Add(Life)}); err != nil {
		return err
	}
	m.of[browser] = append(m.of[browser], key)
	for len(m.of[browser]) > perBrowser {
		m.forget(m.of[browser][0])
	}
	return nil
}

// Keep implements [Store].
func (m *Memory) Keep(_ context.Context, key string, sealed []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keep(key, entry{sealed: sealed, end: m.now().Add(Life)})
}

func (m *Memory) keep(key string, e entry) error {
	m.sweep()
	if len(m.entries) >= inMemory {
		return session.Unavailable(fault.New(fault.Unavailable, "LOGINS", "too many logins are under way"))
	}
	m.entries[key] = e
	return nil
}

// Look implements [Store].
func (m *Memory) Look(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.look(key), nil
}

// Take implements [Store].
func (m *Memory) Take(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sealed := m.look(key)
	m.forget(key)
	return sealed, nil
}

func (m *Memory) look(key string) []byte {
	e, ok := m.entries[key]
	if !ok || !m.now().Before(e.end) {
		return nil
	}
	return e.sealed
}

func (m *Memory) forget(key string) {
	e, ok := m.entries[key]
	if !ok {
		return
	}
	browser := e.browser
	delete(m.entries, key)
	m.of[browser] = slices.DeleteFunc(m.of[browser], func(k string) bool { return k == key })
	if len(m.of[browser]) == 0 {
		delete(m.of, browser)
	}
}

// sweep forgets, once a minute, what nobody came back for.
func (m *Memory) sweep() {
	now := m.now()
	if now.Sub(m.swept) < time.Minute {
		return
	}
	m.swept = now
	for key, e := range m.entries {
		if !now.Before(e.end) {
			m.forget(key)
		}
	}
}

// Shared is a Store for many processes, in Redis or Valkey.
type Shared struct{ kv *kv.Client }

// NewShared returns a Store on c.
func NewShared(c *kv.Client) *Shared { return &Shared{c} }

const prefix = "ic:tx:"

// Put implements [Store]. Each command has one key, as on a cluster it must: the list of a browser's
// transactions is what names the oldest, and what it names in vain does no harm.
func (s *Shared) Put(ctx context.Context, browser [32]byte, key string, sealed []byte) error {
	list, seconds := prefix+"of:"+base64.RawURLEncoding.EncodeToString(browser[:]), int64(Life/time.Second)
	b := s.kv.B()
	got, err := s.kv.DoMulti(ctx,
		b.Set().Key(prefix+key).Value(string(sealed)).ExSeconds(seconds).Build(),
		s.kv.B().Lpush().Key(list).Element(key).Build(),
		s.kv.B().Expire().Key(list).Seconds(seconds).Build(),
		s.kv.B().Lrange().Key(list).Start(perBrowser).Stop(-1).Build(),
		s.kv.B().Ltrim().Key(list).Start(0).Stop(perBrowser-1).Build(),
	)
	if err != nil {
		return session.Unavailable(err)
	}
	old, err := got[3].AsStrSlice()
	if err != nil {
		return session.Unavailable(err)
	}
	for _, key := range old {
		if _, err := s.kv.Do(ctx, s.kv.B().Del().Key(prefix+key).Build()); err != nil {
			return session.Unavailable(err)
		}
	}
	return nil
}

// Keep implements [Store].
func (s *Shared) Keep(ctx context.Context, key string, sealed []byte) error {
	_, err := s.kv.Do(ctx, s.kv.B().Set().Key(prefix+key).Value(string(sealed)).ExSeconds(int64(Life/time.Second)).Build())
	if err != nil {
		return session.Unavailable(err)
	}
	return nil
}

// Look implements [Store].
func (s *Shared) Look(ctx context.Context, key string) ([]byte, error) {
	return sealedOf(s.kv.Do(ctx, s.kv.B().Get().Key(prefix+key).Build()))
}

// Take implements [Store].
func (s *Shared) Take(ctx context.Context, key string) ([]byte, error) {
	return sealedOf(s.kv.Do(ctx, s.kv.B().Getdel().Key(prefix+key).Build()))
}

// sealedOf is a transaction in an answer of Redis.
func sealedOf(got rueidis.RedisMessage, err error) ([]byte, error) {
	if kv.IsNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, session.Unavailable(err)
	}
	sealed, err := got.AsBytes()
	if err != nil {
		return nil, session.Unavailable(err)
	}
	return sealed, nil
}
