package session

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Refresher gets new tokens for a session at its provider, with the refresh token in it, and returns the
// session with what changed. Its errors say how it went, by their kind: [fault.InvalidGrant] that the
// provider refuses for good, [fault.Timeout] that the request was sent and no whole answer came, anything
// else that nothing happened and another try is worth it.
type Refresher func(ctx context.Context, s Session) (Session, error)

const (
	// lease is how long a lock outlives a process that died with it; renewed at a third of it.
	lease = 3 * time.Second
	// lookAgain is how often somebody who waits for another's refresh looks whether it is done.
	lookAgain = 40 * time.Millisecond
)

// flight is one refresh, for all who wait for it.
type flight struct {
	done    chan struct{}
	session Session
	err     error
}

// Renew begins a refresh that is due and waits for nothing, for requests that need no token: a session that is used
// must live, and end with the provider's, whatever it is used for. One without a refresh token lives as it is.
func (m *Manager) Renew(ctx context.Context, s Session, r Refresher) {
	unsure := s.Tokens.Unsure && m.Now().Before(s.Tokens.Expiry) // tried once more, and not while it still serves
	if m.Due(&s) && !unsure && !s.Tokens.Refresh.IsZero() {
		m.takeOff(ctx, s, r)
	}
}

// Due reports whether [Manager.Fresh] has anything to do.
func (m *Manager) Due(s *Session) bool { return !m.Now().Before(s.Tokens.due()) }

// Fresh returns s with an access token that has not expired. Before 80 % of its life that is s itself, then
// s too, while it is refreshed in the background, and after it the outcome of the refresh. A session without a
// refresh token ends then, and not before.
func (m *Manager) Fresh(ctx context.Context, s Session, r Refresher) (Session, error) {
	now := m.Now()
	switch {
	case now.Before(s.Tokens.due()):
		return s, nil
	case now.Before(s.Tokens.Expiry):
		if !s.Tokens.Unsure && !s.Tokens.Refresh.IsZero() { // an unsure one is tried once more, and not while it still serves
			m.takeOff(ctx, s, r)
		}
		return s, nil
	}
	f := m.takeOff(ctx, s, r)
	select {
	case <-f.done:
		return f.session, f.err
	case <-ctx.Done():
		return Session{}, fault.New(fault.Timeout, "", "the session's tokens were not refreshed in time").Because(ctx.Err())
	}
}

// takeOff joins the session's flight, or starts it.
func (m *Manager) takeOff(ctx context.Context, s Session, r Refresher) *flight {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flights[s.Hash]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	if wait := m.backoff[s.Hash].until.Sub(m.Now()); wait > 0 {
		f.err = providerUnavailable(wait, nil)
		close(f.done)
		return f
	}
	m.flights[s.Hash] = f
	go func() {
		// For all who wait: it does not end with the first of them.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.RefreshTimeout)
		defer cancel()
		f.session, f.err = m.refresh(ctx, s, r)
		m.dropped(s.Hash)
		m.mu.Lock()
		delete(m.flights, s.Hash)
		m.mu.Unlock()
		close(f.done)
	}()
	return f
}

// refresh takes the lock, looks whether somebody else was faster, and else calls.
func (m *Manager) refresh(ctx context.Context, s Session, r Refresher) (Session, error) {
	owner := rand.Text()
	for {
		got, err := m.Store.Lock(ctx, s.Hash, owner, lease)
		if err != nil {
			return Session{}, err
		}
		if got {
			break
		}
		if cur, err := m.load(ctx, s.Hash); err != nil || cur.Tokens.Generation > s.Tokens.Generation {
			return cur, err
		}
		select {
		case <-ctx.Done():
			return Session{}, providerUnavailable(firstPause, ctx.Err())
		case <-time.After(lookAgain):
		}
	}
	release := m.hold(ctx, s.Hash, owner)
	defer release()
	// Read again: what the lock was taken for may be done, and the refresh token in s spent.
	cur, err := m.load(ctx, s.Hash)
	if err != nil || cur.Tokens.Generation > s.Tokens.Generation {
		return cur, err
	}
	if cur.Tokens.Unsure && m.Now().Before(cur.Tokens.Expiry) { // another just lost an answer
		return cur, nil
	}
	return m.attempt(ctx, cur, r)
}

// hold renews the lock until the function that it returns gives it back. A lock that is lost all the same
// (the store was away for longer than the lease) is not worth ending a call for that the provider has
// already: the compare-and-swap decides who came first.
func (m *Manager) hold(ctx context.Context, h Hash, owner string) (release func()) {
	renewing, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(lease / 3)
		defer ticker.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-ticker.C:
			}
			if got, err := m.Store.Lock(renewing, h, owner, lease); err == nil && !got {
				m.Log.WarnContext(ctx, "another gateway took the refresh of a session")
				return
			}
		}
	}()
	return func() {
		stop()
		<-stopped // or it would take again what is given back
		if err := m.Store.Unlock(context.WithoutCancel(ctx), h, owner); err != nil {
			m.Log.WarnContext(ctx, "a session's lock is left to its lease", "error", err)
		}
	}
}

// attempt calls the provider and does what the outcome asks for.
func (m *Manager) attempt(ctx context.Context, s Session, r Refresher) (Session, error) {
	if s.Tokens.Refresh.IsZero() {
		return m.refused(ctx, s, Error("session: the provider gave no refresh token"))
	}
	next, err := r(ctx, s)
	if err == nil {
		m.forgive(s.Hash)
		return m.keep(ctx, s, next)
	}
	switch fault.KindOf(err) { // what r says; its causes have kinds too, which decide nothing
	case fault.InvalidGrant:
		return m.refused(ctx, s, err)
	case fault.Timeout:
		return m.unsure(ctx, s, r, err)
	default:
		return m.later(ctx, s, err)
	}
}

// refused ends the session: its refresh token is worth nothing any more.
func (m *Manager) refused(ctx context.Context, s Session, cause error) (Session, error) {
	m.Log.InfoContext(ctx, "a session ends: it is not refreshed any more", "error", cause)
	e := EndOf(s, ReasonRefused, m.Now())
	if err := m.pending.do(context.WithoutCancel(ctx), m, ending{end: &e, hash: s.Hash}); err != nil {
		return Session{}, err
	}
	return Session{}, &e
}

// unsure is for an answer that was lost. The provider may have spent the refresh token, and one that
// detects reuse ends everything when it sees it again: so the access token is used to its end, and only
// then is it tried, once. The mark is stored, so that it counts for all gateways.
func (m *Manager) unsure(ctx context.Context, s Session, r Refresher, cause error) (Session, error) {
	if s.Tokens.Unsure {
		return m.refused(ctx, s, cause)
	}
	m.Log.WarnContext(ctx, "the answer to a refresh was lost", "error", cause)
	// The call may have used up the deadline, and this must still be known.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.RefreshTimeout)
	defer cancel()
	s.Tokens.Unsure = true
	s, err := m.put(ctx, s)
	if err != nil || !s.Tokens.Unsure || m.Now().Before(s.Tokens.Expiry) {
		return s, err
	}
	return m.attempt(ctx, s, r)
}

// later is for what did not happen: the provider is down, or asks us to slow down.
func (m *Manager) later(ctx context.Context, s Session, cause error) (Session, error) {
	wait := m.postpone(s.Hash, cause)
	m.Log.WarnContext(ctx, "a session's tokens cannot be refreshed now", "error", cause)
	if m.Now().Before(s.Tokens.Expiry) {
		return s, nil
	}
	return Session{}, providerUnavailable(wait, cause)
}

// keep stores what the provider gave. Until that is done nobody gets it. Who the session is does not
// change by a refresh, whatever next says.
func (m *Manager) keep(ctx context.Context, s, next Session) (Session, error) {
	generation := s.Tokens.Generation + 1
	s.Tokens, s.ProviderEnd, s.Groups, s.Claims = next.Tokens, next.ProviderEnd, next.Groups, next.Claims
	s.Tokens.Generation, s.Tokens.Unsure = generation, false
	stored, err := m.put(ctx, s)
	// Where it ended meanwhile the tokens are nobody's. Where another refreshed it they are too, and left to their end: to
	// revoke a refresh token may end all of its grant (RFC 7009, section 2.1), and with Keycloak and oidc-provider it does.
	if m.Orphaned != nil && errors.Is(err, fault.Unauthenticated) {
		m.Orphaned(s)
	}
	return stored, err
}

// put writes s until the store has taken it or says no. It gives up a change of its own when another
// refreshed meanwhile, and returns what that one wrote. A store that is away is asked again as long as
// there is time: with a provider that rotates, the tokens exist nowhere else.
func (m *Manager) put(ctx context.Context, s Session) (Session, error) {
	for {
		err := m.Store.Replace(ctx, s)
		switch {
		case err == nil:
			s.Version++
			return s, nil
		case errors.Is(err, ErrConflict):
			cur, err := m.load(ctx, s.Hash)
			switch {
			case errors.Is(err, fault.Unavailable): // asked again below
			case err != nil || s.behind(cur):
				return cur, err
			default:
				s.Version = cur.Version
			}
		case !errors.Is(err, fault.Unavailable):
			return Session{}, err
		}
		select {
		case <-ctx.Done():
			return Session{}, err
		case <-time.After(lookAgain):
		}
	}
}

// behind reports whether cur has tokens that make s pointless: newer ones, or others of the same refresh.
func (s Session) behind(cur Session) bool {
	if s.Tokens.Unsure {
		return cur.Tokens.Generation > s.Tokens.Generation
	}
	return cur.Tokens.Generation >= s.Tokens.Generation
}

func providerUnavailable(after time.Duration, cause error) error {
	e := fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "the identity provider does not answer").Because(cause)
	e.RetryAfter = after
	return e
}
