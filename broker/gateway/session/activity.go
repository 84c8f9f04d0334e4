package session

import (
	"context"
	"sync"
	"time"
)

// activity is when users were last seen by this process, and what of it the store knows.
type activity struct {
	mu   sync.Mutex
	seen map[Hash]*seen
}

type seen struct {
	session Session
	at      time.Time
	written time.Time // the latest that the store has from us; zero when we have not written yet
	tried   time.Time
}

// Touch records that the user did something in the session. It does not wait: the store learns of it in the
// background, at most once per max(30 s, idle/20), and the last of it in any case.
func (m *Manager) Touch(s Session) { m.activity.touch(s, m.Now()) }

// IdleEnd is when s ends without further activity, as far as this process knows: another one may have seen the
// user since ([Manager.AskOthers]). It is the zero time for a session that does not end so.
func (m *Manager) IdleEnd(s Session) time.Time {
	if s.Idle == 0 {
		return time.Time{}
	}
	return m.activity.last(&s).Add(s.Idle)
}

// AskOthers asks the store when others have last seen the user of s, which IdleEnd knows from then on.
func (m *Manager) AskOthers(ctx context.Context, s Session) error {
	stored, err := m.Store.Active(ctx, s.Hash)
	if err == nil && stored.After(m.activity.last(&s)) {
		m.activity.learn(s, stored)
	}
	return err
}

func (a *activity) touch(s Session, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.seen[s.Hash]
	if e == nil {
		e = &seen{}
		a.seen[s.Hash] = e
	}
	e.session, e.at = s, now
}

// last is the latest activity that is known here: at least the login.
func (a *activity) last(s *Session) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.seen[s.Hash]; ok && e.at.After(s.Created) {
		return e.at
	}
	return s.Created
}

// learn takes over what others wrote.
func (a *activity) learn(s Session, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch e := a.seen[s.Hash]; {
	case e == nil:
		a.seen[s.Hash] = &seen{session: s, at: at, written: at}
	case at.After(e.at):
		e.session, e.at, e.written = s, at, at
	}
}

func (a *activity) forget(h Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, h)
}

// due returns what should be written now, and drops what nobody needs any more. With last everything that
// is not written yet is due.
func (a *activity) due(now time.Time, last bool) (due []seen) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for h, e := range a.seen {
		switch every := e.session.writeEvery(); {
		case e.session.over(now, e.at):
			delete(a.seen, h)
		case e.at.After(e.written) && (last || now.Sub(e.tried) >= every):
			e.tried = now
			due = append(due, *e)
		}
	}
	return due
}

func (a *activity) wrote(h Hash, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.seen[h]; ok {
		e.written = at
	}
}

// write flushes at each tick, and what is left when ctx ends. That last word gets a second: the time of a
// shutdown is not ours to use up.
func (m *Manager) write(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			m.flush(last, true)
			return
		case <-ticker.C:
			m.flush(ctx, false)
		}
	}
}

// flush writes what is due. A store that is down is not asked for each of them: the rest is due again when
// its interval is over, and what is lost meanwhile ends a session early, never late.
func (m *Manager) flush(ctx context.Context, last bool) {
	for _, e := range m.activity.due(m.Now(), last) {
		if err := m.Store.Touch(ctx, e.session, e.at); err != nil {
			return
		}
		m.activity.wrote(e.session.Hash, e.at)
	}
}
