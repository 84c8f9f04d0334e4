package bff

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
)

// memory has what was derived of sessions, so that it need not be derived for each request: tokens until shortly
// before their end, one flight for each, and the user as policy knows him.
type memory struct {
	mu      sync.Mutex
	of      map[session.Hash]*derived
	swept   time.Time
	flights singleflight.Group
}

// derived is what was derived of one session.
type derived struct {
	user    *identity.User
	version uint64 // of the session that user is of
	kept    map[tokenKey]keptToken
	forgot  time.Time // when a service did not take a token
}

// tokenKey is all that a derived token depends on: another user's session is another key, whatever else is
// alike.
type tokenKey struct {
	session         session.Hash
	subject, how    string
	audience, scope string
	by              *Minter // nil where it is bound to no certificate of ours
}

type keptToken struct {
	token secret.Value
	end   time.Time
}

const (
	// early is how long before its end a token is no longer sent.
	early = 30 * time.Second
	// maxDerived bounds the sessions that are remembered. Over it all go: to find the oldest costs more than to
	// derive again.
	maxDerived = 50_000
	// sweepEvery is how often what has ended is looked for.
	sweepEvery = time.Minute
	// tradeTimeout bounds one trade, whoever waits for it.
	tradeTimeout = 15 * time.Second
)

// user returns the session's user. Who gets it must not change it.
func (m *memory) user(s session.Session) *identity.User {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.derivedLocked(s.Hash)
	if d.user == nil || d.version != s.Version {
		d.user, d.version = userOf(s), s.Version
	}
	return d.user
}

// token returns a token that is held and serves a while yet.
func (m *memory) token(now time.Time, key tokenKey) (secret.Value, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.of[key.session]
	if d == nil {
		return secret.Value{}, false
	}
	held, ok := d.kept[key]
	return held.token, ok && now.Add(early).Before(held.end)
}

// last returns a token that is held, to its very end.
func (m *memory) last(now time.Time, key tokenKey) (secret.Value, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.of[key.session]
	if d == nil {
		return secret.Value{}, false
	}
	held, ok := d.kept[key]
	return held.token, ok && now.Before(held.end)
}

// left is how long a token that is held is good for.
func (m *memory) left(now time.Time, key tokenKey) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.of[key.session]; d != nil {
		return d.kept[key].end.Sub(now)
	}
	return 0
}

// trade gets a token that is not held, for all who want it now.
func (m *memory) trade(ctx context.Context, now time.Time, key tokenKey, trade func(context.Context) (secret.Value, time.Time, error)) (secret.Value, error) {
	flight := m.flights.DoChan(key.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tradeTimeout)
		defer cancel()
		token, end, err := trade(ctx)
		if err == nil {
			m.keep(now, key, keptToken{token, end})
		}
		return token, err
	})
	select {
	case got := <-flight:
		if got.Err != nil {
			return secret.Value{}, got.Err
		}
		return got.Val.(secret.Value), nil
	case <-ctx.Done():
		return secret.Value{}, fault.New(fault.Timeout, "", "the caller did not wait").Because(ctx.Err())
	}
}

// String is one for each key: quotes keep two apart that join alike.
func (k tokenKey) String() string {
	return fmt.Sprintf("%s %q %q %q %q %p", k.session, k.subject, k.how, k.audience, k.scope, k.by)
}

func (m *memory) keep(now time.Time, key tokenKey, k keptToken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweepLocked(now)
	m.derivedLocked(key.session).kept[key] = k
}

// sweepLocked drops sessions of which no token serves any more. That they may live is no matter: what they need is
// derived again.
func (m *memory) sweepLocked(now time.Time) {
	if now.Sub(m.swept) < sweepEvery {
		return
	}
	m.swept = now
	for hash, d := range m.of {
		if !d.serves(now) {
			delete(m.of, hash)
		}
	}
}

func (d *derived) serves(now time.Time) bool {
	for _, k := range d.kept {
		if now.Before(k.end) {
			return true
		}
	}
	return now.Sub(d.forgot) < lately
}

func (m *memory) derivedLocked(hash session.Hash) *derived {
	d := m.of[hash]
	if d != nil {
		return d
	}
	if m.of == nil || len(m.of) >= maxDerived {
		m.of = map[session.Hash]*derived{}
	}
	d = &derived{kept: map[tokenKey]keptToken{}}
	m.of[hash] = d
	return d
}

// Gone drops what was derived of a session that is over.
func (h *Handler) Gone(hash session.Hash) { h.memory.drop(hash) }

func (m *memory) drop(hash session.Hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, hash)
}

// forget drops a session's tokens, one of which a service did not take. It reports false when it has done so
// lately: a service that refuses whatever it is sent would have new ones made for each request.
func (m *memory) forget(hash session.Hash, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.derivedLocked(hash)
	if now.Sub(d.forgot) < lately {
		return false
	}
	d.forgot = now
	clear(d.kept)
	return true
}
