package session_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// TestConformance has the statements that hold here whatever the store; those that need a real one are in
// session/redis.
func TestConformance(t *testing.T) {
	t.Run("SESS-3", testProviderEnd)
	t.Run("SESS-4", testNewID)
	t.Run("SESS-5", testCookies)
	t.Run("SESS-6", testPassive)
	t.Run("SESS-7", testAbsolute)
	t.Run("TOK-3", testOutcomes)
}

// testProviderEnd: no session outlives what the provider would refresh, and one that it refuses ends.
func testProviderEnd(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		id, s := w.login(m, func(s *session.Session) { s.ProviderEnd = time.Now().Add(20 * time.Minute) })
		w.pass(20*time.Minute - time.Second)
		w.wantLiving(m, id)
		w.pass(time.Second)
		_, err := m.Get(w.Context(), id)
		w.wantCode(err, session.CodeExpired)
		_, err = w.store.Load(w.Context(), s.Hash)
		w.wantCode(err, session.CodeExpired)

		id, s = w.login(m)
		w.pass(time.Hour)
		_, err = m.Fresh(w.Context(), s, func(context.Context, session.Session) (session.Session, error) {
			return session.Session{}, fault.New(fault.InvalidGrant, "", "session not active")
		})
		w.wantCode(err, session.CodeExpired)
		_, err = m.Get(w.Context(), id)
		w.wantCode(err, session.CodeExpired)
		if left, err := m.List(w.Context(), session.Query{}); err != nil || len(left) != 0 {
			w.Errorf("%d sessions are left, %v", len(left), err)
		}
	})
}

// testNewID: whatever the browser brought along, it gets another id, and what it brought stays unknown.
func testNewID(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{})
		brought := session.NewID()
		seen := map[session.Hash]bool{brought.Hash(): true}
		for range 100 {
			id, s := w.login(m, func(s *session.Session) { s.Hash = brought.Hash() })
			if seen[id.Hash()] || s.Hash != id.Hash() {
				w.Fatal("an id was given out twice, or taken over")
			}
			seen[id.Hash()] = true
		}
		_, err := m.Get(w.Context(), brought)
		w.wantCode(err, session.CodeNone)
	})
}

// testCookies: whatever a Cookie header holds, there is a session id in it or there is none.
func testCookies(t *testing.T) {
	const name = "__Host-Http-ic"
	id := session.NewID()
	good := id.Cookie()
	for _, c := range []struct {
		header []string
		found  bool
	}{
		{nil, false},
		{[]string{name + "=" + good}, true},
		{[]string{"a=b; " + name + "=" + good + "; c=d"}, true},
		{[]string{name + "=" + good + "; " + name + "=" + good}, false},
		{[]string{name + "=" + good, name + "=" + session.NewID().Cookie()}, false},
		{[]string{name + "="}, false},
		{[]string{name + "=" + good[1:]}, false},
		{[]string{name + "=" + good + "A"}, false},
		{[]string{name + "=" + good[:42] + "*"}, false},
		{[]string{name + "=" + strings.Repeat("A", 42) + "B"}, false}, // bits that nothing stands in
		{[]string{name + "=" + good[:41] + "\r\n"}, false},
		{[]string{strings.ToLower(name) + "=" + good}, false},
		{[]string{"x=" + strings.Repeat("y", 8<<10) + "; " + name + "=" + good}, false},
		{[]string{name + "=" + good + ";" + strings.Repeat(";", 100)}, true},
	} {
		got, found := session.FindID(&http.Request{Header: http.Header{"Cookie": c.header}}, name)
		if found != c.found || found && got.Cookie() != good {
			t.Errorf("%.80q: found %v, want %v", c.header, found, c.found)
		}
	}
}

// testPassive: asking, watching and refreshing are no activity. Only Touch is.
func testPassive(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{Idle: 10 * time.Minute})
		provider := &sessiontest.Provider{}
		id, s := w.login(m, func(s *session.Session) { s.Tokens.Expiry = time.Now().Add(15 * time.Minute) })
		m.Watch(w.Context(), s.Hash)
		for range 9 {
			w.pass(time.Minute)
			w.wantLiving(m, id)
		}
		m.Touch(s)
		for range 9 {
			w.pass(time.Minute)
			if _, err := m.Fresh(w.Context(), w.wantLiving(m, id), provider.Refresh); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(time.Minute)
		_, err := m.Get(w.Context(), id)
		w.wantCode(err, session.CodeExpired)
		if calls, _ := provider.Calls(); calls != 1 {
			w.Errorf("refreshed %d times: the test shows nothing", calls)
		}
	})
}

// testAbsolute: no activity lengthens a session beyond its end, and no refresh.
func testAbsolute(t *testing.T) {
	bubble(t, func(w world) {
		m := w.manager(session.Config{Idle: 10 * time.Minute, Absolute: 3 * time.Hour})
		id, s := w.login(m)
		provider := &sessiontest.Provider{}
		for range 3*60 - 1 {
			w.pass(time.Minute)
			m.Touch(s)
			if _, err := m.Fresh(w.Context(), w.wantLiving(m, id), provider.Refresh); err != nil {
				w.Fatal(err)
			}
		}
		w.pass(time.Minute)
		_, err := m.Get(w.Context(), id)
		w.wantCode(err, session.CodeExpired)
		if calls, _ := provider.Calls(); calls < 2 {
			w.Errorf("refreshed %d times in three hours", calls)
		}
	})
}

// TestShortened: limits that are shortened count for who is logged in already, those that are lengthened do not.
func TestShortened(t *testing.T) {
	for name, c := range map[string]struct {
		before, after session.Config
		lives         time.Duration // without activity
	}{
		"idle":             {session.Config{Idle: time.Hour}, session.Config{Idle: 2 * time.Minute}, 2 * time.Minute},
		"idle, lengthened": {session.Config{Idle: 2 * time.Minute}, session.Config{Idle: time.Hour}, 2 * time.Minute},
		"idle, of none":    {session.Config{Idle: -1}, session.Config{Idle: 2 * time.Minute}, 2 * time.Minute},
		"idle, to none":    {session.Config{Idle: 2 * time.Minute}, session.Config{Idle: -1}, 2 * time.Minute},
		"absolute":         {session.Config{}, session.Config{Absolute: 20 * time.Minute}, 20 * time.Minute},
		"absolute, longer": {session.Config{Absolute: 20 * time.Minute}, session.Config{}, 20 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w world) {
				id, _ := w.login(w.manager(c.before))
				m := w.manager(c.after)
				w.pass(c.lives - time.Second)
				s := w.wantLiving(m, id)
				if idle := m.IdleEnd(s); time.Until(s.End()) > time.Second && (idle.IsZero() || time.Until(idle) > time.Second) {
					w.Errorf("it is said to end at %s, idle at %s", s.End(), idle)
				}
				w.pass(time.Second)
				_, err := m.Get(w.Context(), id)
				w.wantCode(err, session.CodeExpired)
				if left, err := m.List(w.Context(), session.Query{}); err != nil || len(left) != 0 {
					w.Errorf("%d sessions are left, %v", len(left), err)
				}
			})
		})
	}
}
