package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// TestALateAnswerIsNotKept: a session is read, then ended elsewhere, then the reading comes back. Whoever
// waited for it gets it; whoever comes after the news does not.
func TestALateAnswerIsNotKept(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, s := w.login(m)
		hold := make(chan struct{})
		w.store.holdLoads(hold)
		before := make(chan error)
		go func() {
			_, err := m.Get(w.Context(), id)
			before <- err
		}()
		synctest.Wait() // it has read, and its answer is under way
		if err := w.store.End(w.Context(), s.Hash, session.EndOf(s, session.ReasonOperator, time.Now())); err != nil {
			w.Fatal(err)
		}
		after := make(chan error)
		go func() {
			_, err := m.Get(w.Context(), id)
			after <- err
		}()
		synctest.Wait()
		w.store.holdLoads(nil)
		close(hold)
		<-before
		w.wantCode(<-after, session.CodeRevoked)
		_, err := m.Get(w.Context(), id)
		w.wantCode(err, session.CodeRevoked)
	})
}

// silent is a store whose news take longer than the test.
type silent struct{ session.Shared }

func (silent) Changed(func([]session.Hash)) {}

// TestOwnDeedsNeedNoNews: a gateway does not serve from memory what it ended or refreshed itself, while the
// news of it are still under way.
func TestOwnDeedsNeedNoNews(t *testing.T) {
	for name, end := range map[string]func(w world, m *session.Manager, s session.Session) error{
		"logout here": func(w world, m *session.Manager, s session.Session) error {
			return m.End(w.Context(), s, session.ReasonLogout)
		},
		"back-channel": func(w world, m *session.Manager, s session.Session) error {
			_, err := m.Logout(w.Context(), session.Logout{Issuer: s.Issuer, SID: s.SID, IssuedAt: time.Now()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w world) {
				m := sessiontest.Manage(w.T, session.Config{Store: silent{w.store}, Idle: -1})
				id, s := w.login(m)
				w.wantLiving(m, id)
				w.pass(time.Hour)
				if _, err := m.Fresh(w.Context(), s, (&sessiontest.Provider{}).Refresh); err != nil {
					w.Fatal(err)
				}
				if s := w.wantLiving(m, id); s.Tokens.Generation != 2 {
					w.Errorf("generation %d after a refresh", s.Tokens.Generation)
				}
				if err := end(w, m, s); err != nil {
					w.Fatal(err)
				}
				_, err := m.Get(w.Context(), id)
				w.wantCode(err, session.CodeRevoked)
			})
		})
	}
}

// TestTheHotPathAsksNobody: a session in memory is served without the store, until the store says that it
// cannot be heard.
func TestTheHotPathAsksNobody(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, _ := w.login(m)
		w.wantLiving(m, id)
		w.store.down.Store(true)
		for range 10 {
			w.wantLiving(m, id)
		}
		if _, err := m.Get(w.Context(), session.NewID()); !errors.Is(err, fault.Unavailable) {
			w.Errorf("an unknown id while the store is away: %v", err)
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{Cached: 3})
		var ids []session.ID
		for range 10 {
			id, _ := w.login(m)
			w.wantLiving(m, id)
			ids = append(ids, id)
		}
		w.store.down.Store(true)
		kept := 0
		for _, id := range ids {
			if _, err := m.Get(w.Context(), id); err == nil {
				kept++
			}
		}
		if kept != 3 {
			w.Errorf("%d sessions in memory, want 3", kept)
		}
	})
}

// TestALogoutThatCannotBeStored is kept, and stored before anybody is served again: the provider does not
// call twice.
func TestALogoutThatCannotBeStored(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		ann, _ := w.login(m)
		bob, bobs := w.login(m, func(s *session.Session) { s.Subject, s.SID = "bob", "s2" })
		w.wantLiving(m, ann)
		w.wantLiving(m, bob)
		w.store.down.Store(true)
		if _, err := m.Logout(w.Context(), session.Logout{Issuer: sessiontest.Issuer, SID: "s1", IssuedAt: time.Now()}); !errors.Is(err, fault.Unavailable) {
			w.Errorf("a logout that was not stored: %v", err)
		}
		if err := m.End(w.Context(), bobs, session.ReasonLogout); !errors.Is(err, fault.Unavailable) {
			w.Errorf("and a local one: %v", err)
		}
		for _, id := range []session.ID{ann, bob, session.NewID()} {
			if _, err := m.Get(w.Context(), id); !errors.Is(err, fault.Unavailable) {
				w.Errorf("served while a logout waits: %v", err)
			}
		}
		if _, _, err := m.Create(w.Context(), sessiontest.New("ann", "s1")); !errors.Is(err, fault.Unavailable) {
			w.Errorf("a login while a logout waits: %v", err)
		}
		w.store.down.Store(false)
		_, err := m.Get(w.Context(), ann)
		w.wantCode(err, session.CodeRevoked)
		_, err = m.Get(w.Context(), bob)
		w.wantCode(err, session.CodeRevoked)
		_, _, err = m.Create(w.Context(), sessiontest.New("ann", "s1"))
		w.wantCode(err, session.CodeRevoked)
	})
}

// TestAKeptLogoutNeedsNoRequest: it is stored as soon as the store is back, for the other gateways.
func TestAKeptLogoutNeedsNoRequest(t *testing.T) {
	bubble(t, func(w world) {
		one, other := w.manager(session.Config{}), w.manager(session.Config{})
		id, _ := w.login(one)
		w.wantLiving(other, id)
		w.store.down.Store(true)
		_, _ = one.Logout(w.Context(), session.Logout{Issuer: sessiontest.Issuer, SID: "s1", IssuedAt: time.Now()})
		w.pass(time.Minute)
		w.store.down.Store(false)
		w.pass(time.Second)
		_, err := other.Get(w.Context(), id)
		w.wantCode(err, session.CodeRevoked)
	})
}

func TestLogoutRefusesNothingInParticular(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		for _, l := range []session.Logout{{}, {Issuer: sessiontest.Issuer}, {SID: "s1"}, {Subject: "ann"}} {
			if _, err := m.Logout(w.Context(), l); !errors.Is(err, fault.InvalidRequest) {
				w.Errorf("%+v: %v", l, err)
			}
		}
	})
}

// TestActivity: an hour of requests, one each second, on two gateways. Each writes once per interval, and
// the last sign of the user is known in the end.
func TestActivity(t *testing.T) {
	bubble(t, func(w world) {
		const idle = 40 * time.Minute // written every two minutes
		one, other := w.manager(session.Config{Idle: idle}), w.manager(session.Config{Idle: idle})
		id, s := w.login(one)
		var last time.Time
		for i := range 3600 {
			last = time.Now()
			if one.Touch(s); i%2 == 0 {
				other.Touch(s)
			}
			w.pass(time.Second)
		}
		if n := w.store.touches.Load(); n > 2*31 || n < 2*29 {
			w.Errorf("%d writes by two gateways in an hour, want 30 each", n)
		}
		w.pass(3 * time.Minute)
		if at, err := w.store.Active(w.Context(), s.Hash); err != nil || !at.Equal(last) {
			w.Errorf("last seen %v, stored %v, %v", last, at, err)
		}
		third := w.manager(session.Config{Idle: idle}) // which saw nothing of it
		w.pass(time.Until(last.Add(idle - time.Second)))
		w.wantLiving(third, id)
		w.pass(time.Second)
		_, err := third.Get(w.Context(), id)
		w.wantCode(err, session.CodeExpired)
	})
}

// TestTheLastActivityIsWrittenAtTheEnd: a gateway that is deployed anew takes nothing with it.
func TestTheLastActivityIsWrittenAtTheEnd(t *testing.T) {
	bubble(t, func(w world) {
		m := session.New(session.Config{Store: w.store})
		ctx, stop := context.WithCancel(w.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		_, s := w.login(m)
		m.Touch(s)
		w.pass(time.Second)
		m.Touch(s)
		want := time.Now()
		stop()
		<-done
		if at, err := w.store.Active(w.Context(), s.Hash); err != nil || !at.Equal(want) {
			w.Errorf("stored %v, want %v; %v", at, want, err)
		}
	})
}

// TestIdleIsNotJudgedBlindly: when the store cannot say whether others saw the user, nobody is logged out.
func TestIdleIsNotJudgedBlindly(t *testing.T) {
	bubble(t, func(w world) {
		one, other := w.manager(session.Config{Idle: 10 * time.Minute}), w.manager(session.Config{Idle: 10 * time.Minute})
		id, s := w.login(one)
		w.wantLiving(other, id)
		w.pass(9 * time.Minute)
		one.Touch(s)
		w.pass(5 * time.Minute)
		w.wantLiving(other, id)
	})
}

// TestWatch: who watches a session is told when its time is over, when it never was there, and not after he
// left.
func TestWatch(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{Idle: 10 * time.Minute})
		_, s := w.login(m)
		ctx, leave := context.WithCancel(w.Context())
		stays, leaves, unknown := m.Watch(w.Context(), s.Hash), m.Watch(ctx, s.Hash), m.Watch(w.Context(), session.NewID().Hash())
		began := time.Now()
		leave()
		if _, ok := <-leaves; ok {
			w.Error("who left was told something")
		}
		if e, ok := <-unknown; !ok || e.Reason != session.ReasonExpired {
			w.Errorf("a session that never was: %v", e.Reason)
		}
		e, ok := <-stays
		if took := time.Since(began); !ok || e.Reason != session.ReasonExpired || took < 10*time.Minute || took > 10*time.Minute+time.Second {
			w.Errorf("told %q after %s", e.Reason, took)
		}
		if _, more := <-stays; more {
			w.Error("told twice")
		}
	})
}

// TestCreateRefuses: a login that is no login makes no session.
func TestCreateRefuses(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		for name, change := range map[string]func(*session.Session){
			"no subject":        func(s *session.Session) { s.Subject = "" },
			"no issuer":         func(s *session.Session) { s.Issuer = "" },
			"over at its start": func(s *session.Session) { s.ProviderEnd = time.Now() },
		} {
			s := sessiontest.New("ann", "s1")
			change(&s)
			if id, _, err := m.Create(w.Context(), s); !errors.Is(err, fault.InvalidGrant) || !id.IsZero() {
				w.Errorf("%s: %v", name, err)
			}
		}
	})
}
