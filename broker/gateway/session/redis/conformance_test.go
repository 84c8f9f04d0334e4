package redis_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestConformance has the statements that need a real server and several gateways; the others are in
// package session.
func TestConformance(t *testing.T) {
	t.Run("SESS-8", testLateWrite)
	t.Run("SESS-9", testNothingToRead)
	t.Run("SESS-10", testOutage)
	t.Run("BCL-9", testLogoutEverywhere)
	t.Run("BCL-12", testLogoutBeforeLogin)
	t.Run("TOK-1", testOneRefresh)
	t.Run("TOK-2", testLostResponse)
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if !errors.Is(err, fault.Unauthenticated) || fault.From(err).Code() != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// expired is a login whose access token is over.
func expired(sub, sid string) session.Session {
	s := sessiontest.New(sub, sid)
	s.Tokens.Expiry = time.Now().Add(-time.Minute)
	return s
}

// testLateWrite blocks a request in its refresh, logs the session out at another gateway, and lets go.
func testLateWrite(t *testing.T) {
	p, r := onOwnRedis(t)
	managers := sessiontest.Managers(t, p.open, 2)
	id, s := sessiontest.Login(t, managers[0], expired("ann", "s1"))
	inside, barrier, late := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := managers[0].Fresh(context.Background(), s, func(ctx context.Context, s session.Session) (session.Session, error) {
			close(inside)
			<-barrier
			return (&sessiontest.Provider{}).Refresh(ctx, s)
		})
		late <- err
	}()
	<-inside
	if err := managers[1].End(t.Context(), s, session.ReasonLogout); err != nil {
		t.Fatal(err)
	}
	close(barrier)
	wantCode(t, <-late, session.CodeRevoked)
	for _, m := range managers {
		_, err := m.Get(t.Context(), id)
		wantCode(t, err, session.CodeRevoked)
		if left, err := m.List(t.Context(), session.Query{}); err != nil || len(left) != 0 {
			t.Errorf("%d sessions are left, %v", len(left), err)
		}
	}
	if n := r.Call(t, "EXISTS", p.prefix+"a:{"+s.Hash.String()+"}"); n != "0" {
		t.Error("its activity is left")
	}
}

// testNothingToRead does all that writes, and then looks at what the server holds.
func testNothingToRead(t *testing.T) {
	p, r := onOwnRedis(t)
	m := sessiontest.Manage(t, session.Config{Store: p.open(t)})
	ann, annS := sessiontest.Login(t, m, expired("ann-the-first", "sid-of-ann"))
	bob, bobS := sessiontest.Login(t, m, expired("bob-the-second", "sid-of-bob"))
	over, overS := sessiontest.Login(t, m, expired("eve-the-third", "sid-of-eve"))
	if _, err := m.Fresh(t.Context(), annS, (&sessiontest.Provider{}).Refresh); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Logout(t.Context(), session.Logout{Issuer: sessiontest.Issuer, SID: overS.SID, IssuedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if got, err := p.open(t).Lock(t.Context(), bobS.Hash, "owner", time.Minute); err != nil || !got {
		t.Fatal(got, err)
	}
	m.Touch(bobS)

	dump := string(r.Dump(t))
	for _, secret := range []string{
		"eyJ", base64.StdEncoding.EncodeToString([]byte("eyJhbGci"))[:8], annS.Subject, annS.SID, overS.Subject, overS.SID, "app.example", "A. Nna",
	} {
		if strings.Contains(dump, secret) {
			t.Errorf("a dump shows %q", secret)
		}
	}
	for _, id := range []session.ID{ann, bob, over} {
		raw, err := base64.RawURLEncoding.DecodeString(id.Cookie())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dump, id.Cookie()) || strings.Contains(dump, string(raw)) {
			t.Error("a dump shows a session's id")
		}
	}
	if !strings.Contains(dump, annS.Hash.String()) {
		t.Error("a dump does not show what must be there: this test sees nothing")
	}
	for _, key := range strings.Fields(r.Call(t, "KEYS", "*")) {
		if ttl := r.Call(t, "PTTL", key); strings.HasPrefix(ttl, "-") {
			t.Errorf("%s lives for ever", key)
		}
	}
	swap(t, p, r, "s", annS, bobS)
	for _, id := range []session.ID{ann, bob} {
		sessiontest.Eventually(t, "a swapped value is invalid", func() bool {
			_, err := m.Get(t.Context(), id)
			return errors.Is(err, fault.Unauthenticated) && fault.From(err).Code() == session.CodeNone
		})
	}
	swap(t, p, r, "s", annS, bobS)
	swap(t, p, r, "a", annS, bobS)
	if at, err := p.open(t).Active(t.Context(), annS.Hash); err != nil || !at.IsZero() {
		t.Errorf("another's activity counts: %v, %v", at, err)
	}
}

// swap exchanges two sessions' values of a kind.
func swap(t *testing.T, p place, r *stack.RedisServer, kind string, a, b session.Session) {
	t.Helper()
	key := func(s session.Session) string { return p.prefix + kind + ":{" + s.Hash.String() + "}" }
	for _, names := range [][2]string{{key(a), "aside"}, {key(b), key(a)}, {"aside", key(b)}} {
		r.Call(t, "RENAME", names[0], names[1])
	}
}

// testOutage freezes the server, and kills it, under load. Nobody is ever told that he is not logged in, and
// nobody is served from memory for longer than it may take to notice.
func testOutage(t *testing.T) {
	kill := func(r *stack.RedisServer) error { r.Kill(); return nil }
	for _, c := range []struct {
		name       string
		guarded    bool
		begin, end func(*stack.RedisServer) error
	}{
		{"frozen", false, (*stack.RedisServer).Pause, (*stack.RedisServer).Resume},
		{"frozen behind TLS", true, (*stack.RedisServer).Pause, (*stack.RedisServer).Resume},
		{"killed", false, kill, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, r := onOwnRedis(t)
			if c.guarded {
				p, r = onGuardedRedis(t)
			}
			managers := sessiontest.Managers(t, p.open, 3)
			id, _ := sessiontest.Login(t, managers[0], sessiontest.New("ann", "s1"))
			load := startLoad(t, managers, []session.ID{id})
			sessiontest.Eventually(t, "it is served", func() bool { return load.served(0) > 100 })
			began := time.Now()
			if err := c.begin(r); err != nil {
				t.Fatal(err)
			}
			sessiontest.Eventually(t, "all gateways say 503", load.allDown)
			t.Logf("all said so after %s, the last answer from memory came after %s", time.Since(began), load.lastServed().Sub(began))
			if late := load.lastServed().Sub(began); late > 5*time.Second { // the contract's second, five times
				t.Errorf("served from memory %s into the outage", late)
			}
			if c.end != nil {
				if err := c.end(r); err != nil {
					t.Fatal(err)
				}
				before := load.served(0)
				sessiontest.Eventually(t, "it is served again", func() bool { return load.served(0) > before+100 })
			}
			load.stop()
		})
	}
}

// testLogoutEverywhere: sid ends that session, sub alone all of the user's, on three gateways.
func testLogoutEverywhere(t *testing.T) {
	p, _ := onRedis(t)
	t.Run("sub", func(t *testing.T) { sessiontest.EndReachesAll(t, p.open) })
	t.Run("sid", func(t *testing.T) {
		managers := sessiontest.Managers(t, p.fresh(t).open, 3)
		one, oneS := sessiontest.Login(t, managers[0], sessiontest.New("ann", "s1"))
		two, _ := sessiontest.Login(t, managers[1], sessiontest.New("ann", "s2"))
		for _, m := range managers {
			for _, id := range []session.ID{one, two} {
				if _, err := m.Get(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		over, err := managers[2].Logout(t.Context(), session.Logout{Issuer: sessiontest.Issuer, SID: "s1", IssuedAt: time.Now()})
		if err != nil || len(over) != 1 || !over[0].Tokens.Refresh.Equal(oneS.Tokens.Refresh) {
			t.Fatalf("%d sessions whose refresh tokens are to be revoked, %v", len(over), err)
		}
		for _, m := range managers {
			sessiontest.Eventually(t, "it ended everywhere", func() bool {
				_, err := m.Get(t.Context(), one)
				return errors.As(err, new(*session.Ended))
			})
			if _, err := m.Get(t.Context(), two); err != nil {
				t.Errorf("the other session of the user: %v", err)
			}
		}
	})
}

// testLogoutBeforeLogin lets logouts and the callbacks that store their sessions meet in many ways.
func testLogoutBeforeLogin(t *testing.T) {
	p, _ := onRedis(t)
	managers := sessiontest.Managers(t, p.open, 2)
	refused := 0
	for i := range 60 {
		s := sessiontest.New("ann", "s"+string(rune('A'+i)))
		var id session.ID
		var created error
		var wg sync.WaitGroup
		wg.Go(func() {
			<-time.After(time.Duration(i%3) * 100 * time.Microsecond)
			id, _, created = managers[0].Create(t.Context(), s)
		})
		wg.Go(func() {
			<-time.After(time.Duration(i%10) * 250 * time.Microsecond)
			if _, err := managers[1].Logout(t.Context(), session.Logout{Issuer: sessiontest.Issuer, SID: s.SID, IssuedAt: time.Now()}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if created != nil {
			refused++
			wantCode(t, created, session.CodeRevoked)
			continue
		}
		sessiontest.Eventually(t, "the logout wins", func() bool {
			_, err := managers[0].Get(t.Context(), id)
			return errors.As(err, new(*session.Ended))
		})
	}
	t.Logf("%d of 60 logins were refused, the others ended", refused)
}

// testOneRefresh: with rotation and reuse detection, 200 requests at three gateways make one refresh.
func testOneRefresh(t *testing.T) {
	p, _ := onRedis(t)
	sessiontest.OneRefresh(t, p.open)
}

// testLostResponse: the provider rotates, and its answer is lost. The one more try shows it a spent token,
// and the session ends: at two requests to the provider, whatever the number of ours.
func testLostResponse(t *testing.T) {
	p, _ := onRedis(t)
	managers := sessiontest.Managers(t, p.open, 3)
	id, _ := sessiontest.Login(t, managers[0], expired("ann", "s1"))
	var mu sync.Mutex
	calls := 0
	lossy := func(context.Context, session.Session) (session.Session, error) {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == 1 {
			return session.Session{}, fault.New(fault.Timeout, "", "the answer was lost")
		}
		return session.Session{}, fault.New(fault.InvalidGrant, "", "the token is spent")
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			m := managers[i%len(managers)]
			s, err := m.Get(t.Context(), id)
			if err == nil {
				_, err = m.Fresh(t.Context(), s, lossy)
			}
			wantCode(t, err, session.CodeExpired)
		})
	}
	wg.Wait()
	if calls != 2 {
		t.Errorf("the provider was asked %d times", calls)
	}
}
