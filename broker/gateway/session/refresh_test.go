package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// failing is a provider whose answers are errors until they run out.
type failing struct {
	sessiontest.Provider
	errs []error
	at   []time.Time
}

func (f *failing) Refresh(ctx context.Context, s session.Session) (session.Session, error) {
	f.at = append(f.at, time.Now())
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return session.Session{}, err
	}
	return f.Provider.Refresh(ctx, s)
}

var (
	errLost   = fault.New(fault.Timeout, "", "no answer came")
	errBusy   = fault.New(fault.Unavailable, "", "503")
	errBroken = errors.New("connection refused")
	// errDark is for what was never sent: that time ran out is its cause, and leaves nothing open.
	errDark = fault.New(fault.Unavailable, "", "no connection").Because(fault.New(fault.Timeout, "", "dial").Because(context.DeadlineExceeded))
)

// testOutcomes: what the provider says decides, and nothing else: an outage ends no session.
func testOutcomes(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, _ := w.login(m)
		p := &failing{errs: []error{errDark, errBroken, errBusy, errDark}}
		w.pass(50 * time.Minute) // past 80 %: in the background, and the token still serves
		for range 4 {
			if s, err := m.Fresh(w.Context(), w.wantLiving(m, id), p.Refresh); err != nil || s.Tokens.Generation != 1 {
				w.Errorf("generation %d, %v", s.Tokens.Generation, err)
			}
			synctest.Wait()
		}
		if len(p.at) != 1 {
			w.Errorf("asked %d times within a second: it does not back off", len(p.at))
		}
		w.pass(10 * time.Minute) // the token has expired, and the provider is still away
		_, err := m.Fresh(w.Context(), w.wantLiving(m, id), p.Refresh)
		if e := fault.From(err); e.Kind != fault.Unavailable || e.RetryAfter < time.Second {
			w.Errorf("an expired token while the provider is away: %v", err)
		}
		for range 120 {
			w.pass(500 * time.Millisecond)
			_, _ = m.Fresh(w.Context(), w.wantLiving(m, id), p.Refresh)
		}
		if s := w.wantLiving(m, id); s.Tokens.Generation != 2 {
			w.Errorf("a minute later the tokens are of generation %d", s.Tokens.Generation)
		}
		if len(p.at) != 5 {
			w.Errorf("asked %d times for five answers", len(p.at))
		}
	})
}

// TestRetry: after an outage nobody waits for the rest of a pause that has become long, and not all come at once.
func TestRetry(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		const users = 200
		all := make([]session.Session, users)
		for i := range all {
			_, all[i] = w.login(m)
		}
		dark := func(context.Context, session.Session) (session.Session, error) { return session.Session{}, errDark }
		tried := func(r session.Refresher) (fresh int) {
			for _, s := range all {
				if got, err := m.Fresh(w.Context(), s, r); err == nil && got.Tokens.Generation == 2 {
					fresh++
				}
			}
			return fresh
		}
		w.pass(time.Hour)
		for range 6 { // 1 s, 2 s, 4 s, 8 s, 16 s, 30 s
			tried(dark)
			w.pass(29 * time.Second)
		}
		p := &sessiontest.Provider{}
		if n := tried(p.Refresh); n != 0 {
			w.Fatalf("%d of %d are refreshed within their pause", n, users)
		}
		m.Retry()
		w.pass(100 * time.Millisecond)
		if n := tried(p.Refresh); n < 1 || n > 10 {
			w.Errorf("%d of %d come back at once", n, users)
		}
		w.pass(4 * time.Second)
		if n := tried(p.Refresh); n != users {
			w.Errorf("%d of %d are refreshed after the last pause", n, users)
		}
		if calls, _ := p.Calls(); calls != users {
			w.Errorf("%d refreshes", calls)
		}
	})
}

// TestRetryForgivesNothing: whose refresh fails once more waits for longer than before.
func TestRetryForgivesNothing(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		_, s := w.login(m)
		p := &failing{errs: []error{errDark, errDark, errDark}}
		w.pass(time.Hour)
		wait := func() time.Duration {
			_, err := m.Fresh(w.Context(), s, p.Refresh)
			return fault.From(err).RetryAfter
		}
		first := wait()
		m.Retry()
		if second := wait(); first != time.Second || second != 2*time.Second {
			w.Errorf("it waits %s, then %s", first, second)
		}
		m.Retry()
		if third := wait(); third != 4*time.Second || len(p.at) != 3 {
			w.Errorf("it waits %s after %d tries", third, len(p.at))
		}
	})
}

// TestRefreshAhead: on use, past 80 % of the token's life, without making anybody wait; never by itself.
func TestRefreshAhead(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, s := w.login(m)
		p := &sessiontest.Provider{Takes: time.Second}
		w.pass(48*time.Minute - time.Second)
		fresh := func() uint64 {
			w.Helper()
			began := time.Now()
			s, err := m.Fresh(w.Context(), w.wantLiving(m, id), p.Refresh)
			if err != nil || time.Since(began) != 0 {
				w.Errorf("waited %s, %v", time.Since(began), err)
			}
			return s.Tokens.Generation
		}
		fresh()
		synctest.Wait()
		if calls, _ := p.Calls(); calls != 0 {
			w.Error("refreshed before 80 % of the token's life")
		}
		w.pass(time.Second)
		if g := fresh(); g != s.Tokens.Generation {
			w.Errorf("generation %d", g)
		}
		w.pass(2 * time.Second)
		if g := fresh(); g != s.Tokens.Generation+1 {
			w.Errorf("generation %d after the refresh", g)
		}
		w.pass(3 * time.Hour)
		if calls, _ := p.Calls(); calls != 1 {
			w.Errorf("%d refreshes without a request", calls)
		}
	})
}

// TestLostAnswer: a refresh whose answer is lost leaves the token in use to its end; one more try decides.
func TestLostAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		second error
		code   string
	}{
		"and the next one comes": {nil, ""},
		"and the token is spent": {fault.New(fault.InvalidGrant, "", "reuse"), session.CodeExpired},
		"and the next one too":   {errLost, session.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w world) {
				one, other := w.manager(session.Config{}), w.manager(session.Config{})
				id, first := w.login(one)
				p := &failing{errs: []error{errLost}}
				if c.second != nil {
					p.errs = append(p.errs, c.second)
				}
				w.pass(50 * time.Minute)
				for range 9 { // ten minutes from now it expires
					for _, m := range []*session.Manager{one, other} {
						if s, err := m.Fresh(w.Context(), w.wantLiving(m, id), p.Refresh); err != nil || !s.Tokens.Access.Equal(first.Tokens.Access) {
							w.Errorf("%v", err)
						}
					}
					w.pass(time.Minute)
				}
				if len(p.at) != 1 {
					w.Errorf("tried %d times while the token still serves", len(p.at))
				}
				w.pass(time.Minute)
				s, err := other.Fresh(w.Context(), w.wantLiving(other, id), p.Refresh)
				if len(p.at) != 2 {
					w.Errorf("tried %d times", len(p.at))
				}
				if c.code == "" {
					if err != nil || s.Tokens.Generation != 2 || s.Tokens.Unsure {
						w.Errorf("generation %d, unsure %v, %v", s.Tokens.Generation, s.Tokens.Unsure, err)
					}
					return
				}
				w.wantCode(err, c.code)
				_, err = one.Get(w.Context(), id)
				w.wantCode(err, c.code)
			})
		})
	}
}

// TestALongRefreshKeepsItsLock: the provider takes much longer than the lease.
func TestALongRefreshKeepsItsLock(t *testing.T) {
	bubble(t, func(w world) {
		one, other := w.manager(session.Config{}), w.manager(session.Config{})
		_, s := w.login(one)
		p := &sessiontest.Provider{Takes: 25 * time.Second}
		w.pass(time.Hour)
		var wg sync.WaitGroup
		for _, m := range []*session.Manager{one, other, one, other} {
			wg.Go(func() {
				if got, err := m.Fresh(w.Context(), s, p.Refresh); err != nil || got.Tokens.Generation != 2 {
					w.Errorf("generation %d, %v", got.Tokens.Generation, err)
				}
			})
		}
		wg.Wait()
		if calls, _ := p.Calls(); calls != 1 {
			w.Errorf("%d refreshes", calls)
		}
	})
}

// TestRefreshAndLogout: the session ends while its tokens are refreshed. Nobody gets the new ones, and who
// can revoke them is told.
func TestRefreshAndLogout(t *testing.T) {
	bubble(t, func(w world) {
		var orphans []session.Session
		m := w.manager(session.Config{Orphaned: func(s session.Session) { orphans = append(orphans, s) }})
		id, s := w.login(m)
		w.pass(time.Hour)
		_, err := m.Fresh(w.Context(), s, func(ctx context.Context, s session.Session) (session.Session, error) {
			if err := m.End(ctx, s, session.ReasonLogout); err != nil {
				w.Error(err)
			}
			return (&sessiontest.Provider{}).Refresh(ctx, s)
		})
		w.wantCode(err, session.CodeRevoked)
		_, err = m.Get(w.Context(), id)
		w.wantCode(err, session.CodeRevoked)
		if len(orphans) != 1 || !orphans[0].Tokens.Refresh.Equal(sessiontest.Tokens(2, time.Time{}).Refresh) {
			w.Errorf("%d tokens to revoke", len(orphans))
		}
	})
}

// TestTwoRefreshes: a lock may be lost to another gateway, and the first to store its tokens wins. Those of the other are left
// to their end: to take them back would end the provider's session, which the winner's are of.
func TestTwoRefreshes(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{Orphaned: func(session.Session) { w.Error("the tokens of a living session are taken back") }})
		id, s := w.login(m)
		w.pass(time.Hour)
		got, err := m.Fresh(w.Context(), s, func(ctx context.Context, s session.Session) (session.Session, error) {
			faster, err := (&sessiontest.Provider{}).Refresh(ctx, s)
			if err != nil {
				return s, err
			}
			faster.Tokens = sessiontest.Tokens(7, time.Now().Add(time.Hour))
			faster.Tokens.Generation = s.Tokens.Generation + 1
			if err := w.store.Replace(ctx, faster); err != nil {
				return s, err
			}
			return (&sessiontest.Provider{}).Refresh(ctx, s)
		})
		if want := sessiontest.Tokens(7, time.Time{}).Access; err != nil || !got.Tokens.Access.Equal(want) {
			t.Errorf("not the winner's tokens: %v", err)
		}
		w.wantLiving(m, id)
	})
}

// TestRefreshOutlivesAnOutage: the store is away when the new tokens are there, which exist nowhere else.
func TestRefreshOutlivesAnOutage(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, s := w.login(m)
		w.pass(time.Hour)
		got, err := m.Fresh(w.Context(), s, func(ctx context.Context, s session.Session) (session.Session, error) {
			w.store.down.Store(true)
			time.AfterFunc(5*time.Second, func() { w.store.down.Store(false) })
			return (&sessiontest.Provider{}).Refresh(ctx, s)
		})
		if err != nil || got.Tokens.Generation != 2 {
			w.Fatalf("generation %d, %v", got.Tokens.Generation, err)
		}
		if s := w.wantLiving(m, id); s.Tokens.Generation != 2 || s.Version != got.Version {
			w.Errorf("stored: generation %d", s.Tokens.Generation)
		}
	})
}

// TestRefreshChangesNoIdentity: whatever comes back, the session stays whose it was, and as long as it was.
func TestRefreshChangesNoIdentity(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		_, s := w.login(m)
		w.pass(time.Hour)
		got, err := m.Fresh(w.Context(), s, func(ctx context.Context, s session.Session) (session.Session, error) {
			s, err := (&sessiontest.Provider{}).Refresh(ctx, s)
			s.Subject, s.SID, s.Issuer, s.Absolute, s.Hash = "eve", "s9", "https://other.example", s.Absolute.Add(time.Hour), session.NewID().Hash()
			s.ProviderEnd = time.Now().Add(time.Hour)
			return s, err
		})
		if err != nil || got.Subject != s.Subject || got.SID != s.SID || got.Issuer != s.Issuer || !got.Absolute.Equal(s.Absolute) || got.Hash != s.Hash {
			w.Errorf("%+v, %v", got, err)
		}
		if got.ProviderEnd.IsZero() {
			w.Error("refresh_expires_in of the new token is lost")
		}
	})
}

// TestNoRefreshToken: without one the session is as long as its access token, to its last second, for those who need that.
func TestNoRefreshToken(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, s := w.login(m)
		s.Tokens.Refresh = session.Tokens{}.Refresh
		if err := w.store.Replace(w.Context(), s); err != nil {
			w.Fatal(err)
		}
		never := func(context.Context, session.Session) (session.Session, error) {
			w.Error("asked the provider with nothing in hand")
			return session.Session{}, errBroken
		}
		w.pass(50 * time.Minute) // past 80 % of its life
		if _, err := m.Fresh(w.Context(), s, never); err != nil {
			w.Errorf("while the token serves: %v", err)
		}
		synctest.Wait()
		w.wantLiving(m, id)
		w.pass(10 * time.Minute)
		_, err := m.Fresh(w.Context(), s, never)
		w.wantCode(err, session.CodeExpired)
	})
}
