package session

import (
	"context"
	"sync"
	"time"
)

// Memory is the store of one process: what it holds is gone with it.
type Memory struct {
	now func() time.Time

	mu       sync.Mutex
	told     []func([]Hash)
	sessions map[Hash]*kept
	logouts  map[Logout]time.Time // without IssuedAt; to the latest of it, or to when it came for a sid
	swept    time.Time
}

// kept is a session or its tombstone, with what stands beside it.
type kept struct {
	session Session
	ended   *Ended
	active  time.Time
	owner   string
	lease   time.Time
}

// sweepEvery is how often what is over is removed.
const sweepEvery = time.Minute

// NewMemory returns an empty store. A nil clock is [time.Now].
func NewMemory(now func() time.Time) *Memory {
	if now == nil {
		now = time.Now
	}
	return &Memory{
		now: now, swept: now(),
		sessions: map[Hash]*kept{}, logouts: map[Logout]time.Time{},
	}
}

// Changed implements [Peers].
func (m *Memory) Changed(f func([]Hash)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, f)
}

// changed tells of what was done, with no lock held: those who are told may ask.
func (m *Memory) changed(hashes []Hash) {
	m.mu.Lock()
	told := m.told
	m.mu.Unlock()
	if len(hashes) > 0 { // nil would mean all
		for _, f := range told {
			f(hashes)
		}
	}
}

// Create implements [Store]. One lock is held throughout, so no logout comes in between.
func (m *Memory) Create(_ context.Context, s Session) error {
	if _, err := encode(s); err != nil { // the same bounds as in a shared store
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep()
	if k := m.sessions[s.Hash]; k != nil {
		return k.err()
	}
	for l := range m.logouts {
		if l.IssuedAt = m.logouts[l]; l.Covers(s) {
			e := EndOf(s, ReasonProvider, m.now())
			return &e
		}
	}
	m.sessions[s.Hash] = &kept{session: s, active: s.Created}
	return nil
}

// Load implements [Store].
func (m *Memory) Load(_ context.Context, h Hash) (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.sessions[h]
	if k == nil {
		return Session{}, NoSession(nil)
	}
	if k.ended != nil {
		return Session{}, k.ended
	}
	return k.session, nil
}

// Replace implements [Store].
func (m *Memory) Replace(_ context.Context, s Session) error {
	if _, err := encode(s); err != nil {
		return err
	}
	if err := m.replace(s); err != nil {
		return err
	}
	m.changed([]Hash{s.Hash})
	return nil
}

func (m *Memory) replace(s Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.sessions[s.Hash]
	switch {
	case k == nil:
		return NoSession(nil)
	case k.ended != nil:
		return k.ended
	case k.session.Version != s.Version:
		return ErrConflict
	}
	s.Version++
	k.session = s
	return nil
}

// End implements [Store].
func (m *Memory) End(_ context.Context, h Hash, e Ended) error {
	m.end(h, e)
	m.changed([]Hash{h})
	return nil
}

func (m *Memory) end(h Hash, e Ended) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.sessions[h]; k == nil || k.ended == nil {
		m.sessions[h] = &kept{ended: &e}
	}
}

// Logout implements [Index].
func (m *Memory) Logout(_ context.Context, l Logout) ([]Session, error) {
	sessions := m.logout(l)
	hashes := make([]Hash, 0, len(sessions))
	for _, s := range sessions {
		hashes = append(hashes, s.Hash)
	}
	m.changed(hashes)
	return sessions, nil
}

func (m *Memory) logout(l Logout) (out []Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := l
	if key.SID != "" {
		key.Subject = "" // a provider session is one, whoever's it is
	}
	key.IssuedAt = time.Time{}
	if l.IssuedAt.After(m.logouts[key]) {
		m.logouts[key] = l.IssuedAt
	}
	for h, k := range m.sessions {
		if k.ended == nil && l.Covers(k.session) {
			out = append(out, k.session)
			e := EndOf(k.session, ReasonProvider, m.now())
			m.sessions[h] = &kept{ended: &e}
		}
	}
	return out
}

// Touch implements [Activity].
func (m *Memory) Touch(_ context.Context, s Session, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.sessions[s.Hash]; k != nil && k.ended == nil && at.After(k.active) {
		k.active = at
	}
	return nil
}

// Active implements [Activity].
func (m *Memory) Active(_ context.Context, h Hash) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.sessions[h]; k != nil {
		return k.active, nil
	}
	return time.Time{}, nil
}

// List implements [Index].
func (m *Memory) List(_ context.Context, q Query) (out []Session, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, k := range m.sessions {
		if k.ended == nil && q.Matches(k.session) && !k.session.over(now, k.active) {
			out = append(out, k.session)
		}
	}
	return out, nil
}

// Lock implements [Peers].
func (m *Memory) Lock(_ context.Context, h Hash, owner string, lease time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, now := m.sessions[h], m.now()
	if k == nil {
		return false, NoSession(nil)
	}
	if k.owner != owner && now.Before(k.lease) {
		return false, nil
	}
	k.owner, k.lease = owner, now.Add(lease)
	return true, nil
}

// Unlock implements [Peers].
func (m *Memory) Unlock(_ context.Context, h Hash, owner string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.sessions[h]; k != nil && k.owner == owner {
		k.lease = time.Time{}
	}
	return nil
}

// sweep removes what is over, so that a store of one process is bounded by those who are logged in.
func (m *Memory) sweep() {
	now := m.now()
	if now.Sub(m.swept) < sweepEvery {
		return
	}
	m.swept = now
	for h, k := range m.sessions {
		if k.gone(now) {
			delete(m.sessions, h)
		}
	}
	for l, at := range m.logouts {
		if now.Sub(at) > LogoutLife {
			delete(m.logouts, l)
		}
	}
}

func (k *kept) gone(now time.Time) bool {
	if k.ended != nil {
		return now.Sub(k.ended.At) > TombstoneLife
	}
	return now.Sub(k.session.End()) > TombstoneLife
}

// err is why a session cannot be created where this one is.
func (k *kept) err() error {
	if k.ended != nil {
		return k.ended
	}
	return ErrConflict
}
