package redis

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
)

// defaultPrefix is what all keys start with.
const defaultPrefix = "ic:"

// grace is how much longer than its session a key lives: the manager judges ends, the server sweeps.
const grace = time.Minute

// Options say how sessions are kept.
type Options struct {
	// Dial is how the server is reached; Track and Changed in it are ours to set.
	Dial kv.Options
	// Ring seals what is written; required.
	Ring *session.Ring
	// Prefix is what all keys start with; empty means "ic:".
	Prefix string
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Store keeps sessions in Redis or Valkey. It implements [session.Shared].
type Store struct {
	kv      *kv.Client
	ring    *session.Ring
	prefix  string
	now     func() time.Time
	scripts scripts

	tried trial

	mu   sync.RWMutex
	told []func([]session.Hash)
}

// Open dials the server.
func Open(c kv.Config, o Options) (*Store, error) {
	s := &Store{ring: o.Ring, prefix: o.Prefix, now: o.Now, scripts: newScripts()}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if s.now == nil {
		s.now = time.Now
	}
	o.Dial.Track, o.Dial.Changed = s.prefix+"s:", s.hear
	var err error
	s.kv, err = kv.Open(c, o.Dial)
	return s, err
}

// Close ends the connections.
func (s *Store) Close() { s.kv.Close() }

// Changed implements [session.Peers].
func (s *Store) Changed(f func([]session.Hash)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, f)
}

// hear hands on what the server tells.
func (s *Store) hear(keys []string) {
	var hashes []session.Hash
	for _, k := range keys {
		if h, ok := s.hashOf(k); ok {
			hashes = append(hashes, h)
		}
	}
	if keys != nil && hashes == nil { // nil would mean all
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, f := range s.told {
		f(hashes)
	}
}

// Create implements [session.Store].
func (s *Store) Create(ctx context.Context, v session.Session) error {
	sealed, err := s.ring.Seal(v)
	if err != nil {
		return err
	}
	active, err := s.ring.SealTime(v.Hash, v.Created)
	if err != nil {
		return err
	}
	// First the indexes: a logout from now on finds the session, or finds its key and blocks it.
	if err := s.index(ctx, v); err != nil {
		return err
	}
	ttl := ms(v.End().Sub(s.now()) + grace)
	there, err := s.kv.Run(ctx, s.scripts.create, s.own(v.Hash), []string{string(sealed), string(active), ttl})
	if err != nil {
		return session.Unavailable(err)
	}
	if !there.IsInt64() {
		return s.occupied(v.Hash, there)
	}
	return s.undoIfLoggedOut(ctx, v)
}

// occupied says what stands where something should be written: a tombstone, or what another wrote.
func (s *Store) occupied(h session.Hash, there rueidis.RedisMessage) error {
	if _, err := s.open(h, there, nil); err != nil {
		return err
	}
	return session.ErrConflict
}

// undoIfLoggedOut looks for a logout that came before the index did.
func (s *Store) undoIfLoggedOut(ctx context.Context, v session.Session) error {
	covered, err := s.loggedOut(ctx, v)
	if err == nil && !covered {
		return nil
	}
	e := session.EndOf(v, session.ReasonProvider, s.now())
	// When the tombstones could not be read nobody gets the id, so nobody uses what stays.
	if endErr := s.End(ctx, v.Hash, e); err == nil {
		err = endErr
	}
	if err != nil {
		return err
	}
	return &e
}

// Load implements [session.Store].
func (s *Store) Load(ctx context.Context, h session.Hash) (session.Session, error) {
	m, err := s.kv.Do(ctx, s.kv.B().Get().Key(s.session(h)).Build())
	return s.open(h, m, err)
}

func (s *Store) open(h session.Hash, value rueidis.RedisMessage, err error) (session.Session, error) {
	if kv.IsNil(err) {
		return session.Session{}, session.NoSession(nil)
	}
	if err != nil {
		return session.Session{}, session.Unavailable(err)
	}
	data, err := value.AsBytes()
	if err != nil {
		return session.Session{}, session.NoSession(err)
	}
	return s.ring.Open(h, data)
}

// Replace implements [session.Store].
func (s *Store) Replace(ctx context.Context, v session.Session) error {
	old := v.Version
	v.Version++
	sealed, err := s.ring.Seal(v)
	if err != nil {
		return err
	}
	args := []string{string(session.Head(old)), string(sealed), ms(v.End().Sub(s.now()) + grace)}
	there, err := s.kv.Run(ctx, s.scripts.replace, s.own(v.Hash)[:1], args)
	if kv.IsNil(err) {
		return session.NoSession(nil)
	}
	if err != nil {
		return session.Unavailable(err)
	}
	if there.IsInt64() {
		return nil
	}
	return s.occupied(v.Hash, there)
}

// End implements [session.Store].
func (s *Store) End(ctx context.Context, h session.Hash, e session.Ended) error {
	sealed, err := s.ring.SealEnded(h, e)
	if err != nil {
		return err
	}
	if _, err := s.kv.Run(ctx, s.scripts.end, s.own(h), []string{string(sealed), ms(session.TombstoneLife), string(session.EndedHead())}); err != nil {
		return session.Unavailable(err)
	}
	return nil
}

// Touch implements [session.Activity].
func (s *Store) Touch(ctx context.Context, v session.Session, at time.Time) error {
	sealed, err := s.ring.SealTime(v.Hash, at)
	if err != nil {
		return err
	}
	ttl := max(v.End().Sub(s.now()), 0) + grace
	_, err = s.kv.Do(ctx, s.kv.B().Set().Key(s.activity(v.Hash)).Value(string(sealed)).Xx().Px(ttl).Build())
	if err != nil && !kv.IsNil(err) {
		return session.Unavailable(err)
	}
	return nil
}

// Active implements [session.Activity]. What does not open is no activity: it cannot lengthen a session.
func (s *Store) Active(ctx context.Context, h session.Hash) (time.Time, error) {
	m, err := s.kv.Do(ctx, s.kv.B().Get().Key(s.activity(h)).Build())
	if kv.IsNil(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, session.Unavailable(err)
	}
	data, err := m.AsBytes()
	if err != nil {
		return time.Time{}, nil
	}
	t, err := s.ring.OpenTime(h, data)
	if err != nil {
		return time.Time{}, nil
	}
	return t, nil
}

// Lock implements [session.Peers].
func (s *Store) Lock(ctx context.Context, h session.Hash, owner string, lease time.Duration) (bool, error) {
	m, err := s.kv.Run(ctx, s.scripts.lock, []string{s.lock(h)}, []string{owner, ms(lease)})
	if err != nil {
		return false, session.Unavailable(err)
	}
	got, err := m.AsInt64()
	return got == 1, err
}

// Unlock implements [session.Peers].
func (s *Store) Unlock(ctx context.Context, h session.Hash, owner string) error {
	_, err := s.kv.Run(ctx, s.scripts.unlock, []string{s.lock(h)}, []string{owner})
	if err != nil && !kv.IsNil(err) {
		return session.Unavailable(err)
	}
	return nil
}

func (s *Store) session(h session.Hash) string  { return s.prefix + "s:{" + h.String() + "}" }
func (s *Store) activity(h session.Hash) string { return s.prefix + "a:{" + h.String() + "}" }
func (s *Store) lock(h session.Hash) string     { return s.prefix + "l:{" + h.String() + "}" }

// own are the keys of one session, in the order in which the scripts take them.
func (s *Store) own(h session.Hash) []string {
	return []string{s.session(h), s.activity(h), s.lock(h)}
}

// hashOf is the inverse of session.
func (s *Store) hashOf(key string) (session.Hash, bool) {
	if n := len(s.prefix) + len("s:{"); len(key) > n+1 {
		return session.ParseHash(key[n : len(key)-1])
	}
	return session.Hash{}, false
}

// name makes a key's part of what the provider calls things.
func name(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
