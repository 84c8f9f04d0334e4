package bff

import (
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
)

// TestMemory: a derived token serves until shortly before its end, and goes with its session, or when none of the
// session's serves any more.
func TestMemory(t *testing.T) {
	now, h := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), &Handler{}
	m, one, two := &h.memory, session.NewID().Hash(), session.NewID().Hash()
	key := func(h session.Hash) tokenKey { return tokenKey{session: h, how: "mint", audience: "orders"} }
	has := func(h session.Hash, after time.Duration) bool { _, ok := m.token(now.Add(after), key(h)); return ok }
	m.keep(now, key(one), keptToken{secret.FromString("t"), now.Add(5 * time.Minute)})
	m.keep(now, key(two), keptToken{secret.FromString("t"), now.Add(15 * time.Minute)})
	if !has(one, 4*time.Minute) || has(one, 4*time.Minute+early) {
		t.Error("a token is sent after it has ended, or not before")
	}
	if has(session.NewID().Hash(), 0) {
		t.Error("another session has a token")
	}
	m.keep(now.Add(10*time.Minute), key(session.NewID().Hash()), keptToken{secret.FromString("t"), now.Add(15 * time.Minute)})
	if len(m.of) != 2 || m.of[one] != nil {
		t.Errorf("%d sessions are remembered", len(m.of))
	}
	if h.Gone(two); has(two, 0) {
		t.Error("the token of a session that is over is kept")
	}
}

// TestMemoryOfUsers: the user is derived once for each version of the session.
func TestMemoryOfUsers(t *testing.T) {
	var m memory
	s := session.Session{Hash: session.NewID().Hash(), Subject: "alice", Groups: []string{"staff"}, Version: 1}
	first := m.user(s)
	if again := m.user(s); again != first {
		t.Error("it is derived for each request")
	}
	if s.Version, s.Groups = 2, []string{"guests"}; m.user(s).Groups[0] != "guests" {
		t.Error("a change is not seen")
	}
}
