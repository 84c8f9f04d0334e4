package sessiontest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// Managers are gateways on one store, each with a connection of its own.
func Managers(t *testing.T, open Open, n int) []*session.Manager {
	t.Helper()
	all := make([]*session.Manager, n)
	for i := range all {
		all[i] = Manage(t, session.Config{Store: open(t)})
	}
	return all
}

// Manage runs a manager until the test ends.
func Manage(t *testing.T, c session.Config) *session.Manager {
	t.Helper()
	m := session.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return m
}

// Login creates a session and returns its id.
func Login(t *testing.T, m *session.Manager, s session.Session) (session.ID, session.Session) {
	t.Helper()
	id, created, err := m.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id, created
}

// promptly is how long an end may take to the last gateway; a loaded machine gets five times of it.
const promptly = 5 * 200 * time.Millisecond

// EndReachesAll ends two sessions of a user by a logout of the user, with both in the memory of three
// gateways, and a third, by its own logout: nobody serves them any longer, and who watches is told.
func EndReachesAll(t *testing.T, open Open) {
	managers := Managers(t, open, 3)
	var ids []session.ID
	var sessions []session.Session
	for _, who := range []string{"ann", "ann", "bob"} {
		id, s := Login(t, managers[0], New(who, "s-"+who+string(rune('0'+len(ids)))))
		ids, sessions = append(ids, id), append(sessions, s)
	}
	var watched []<-chan session.Ended
	for _, m := range managers {
		for i, id := range ids {
			if _, err := m.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			watched = append(watched, m.Watch(t.Context(), sessions[i].Hash))
		}
	}
	over, err := managers[1].Logout(t.Context(), session.Logout{Issuer: Issuer, Subject: "ann", IssuedAt: time.Now()})
	if err != nil || len(over) != 2 {
		t.Fatalf("ended %d sessions, %v", len(over), err)
	}
	if err := managers[2].End(t.Context(), sessions[2], session.ReasonLogout); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	for _, m := range managers {
		for _, id := range ids {
			for {
				_, err := m.Get(t.Context(), id)
				if _, ok := errors.AsType[*session.Ended](err); ok {
					break
				}
				if time.Since(ended) > promptly {
					t.Fatalf("still served after %s: %v", time.Since(ended), err)
				}
				<-time.After(time.Millisecond)
			}
		}
	}
	for i, ch := range watched {
		want := session.ReasonProvider
		if i%3 == 2 {
			want = session.ReasonLogout
		}
		select {
		case e, ok := <-ch:
			if !ok || e.Reason != want {
				t.Errorf("watcher %d was told %q, want %q", i, e.Reason, want)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("watcher %d was not told", i)
		}
	}
}

// Provider rotates refresh tokens and detects reuse, as a strict one does.
type Provider struct {
	// Takes is how long an answer takes.
	Takes time.Duration

	mu     sync.Mutex
	valid  string
	calls  atomic.Int32
	reused atomic.Int32
}

// Calls is how often it was asked, and Reused how often with a token that was spent.
func (p *Provider) Calls() (calls, reused int32) { return p.calls.Load(), p.reused.Load() }

// Refresh is a [session.Refresher].
func (p *Provider) Refresh(ctx context.Context, s session.Session) (session.Session, error) {
	p.calls.Add(1)
	p.mu.Lock()
	if p.valid != "" && p.valid != string(s.Tokens.Refresh.Reveal()) {
		p.reused.Add(1)
	}
	s.Tokens = Tokens(s.Tokens.Generation+1, time.Now().Add(time.Hour))
	p.valid = string(s.Tokens.Refresh.Reveal())
	p.mu.Unlock()
	select {
	case <-time.After(p.Takes):
		return s, nil
	case <-ctx.Done():
		return s, ctx.Err()
	}
}

// OneRefresh sends 200 requests at once to three gateways, with a session whose access token has expired.
func OneRefresh(t *testing.T, open Open) {
	const requests = 200
	managers := Managers(t, open, 3)
	v := New("ann", "s1")
	v.Tokens.Expiry = time.Now().Add(-time.Minute)
	id, _ := Login(t, managers[0], v)
	provider := &Provider{Takes: 100 * time.Millisecond}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range requests {
		m := managers[i%len(managers)]
		wg.Go(func() {
			<-start
			s, err := m.Get(t.Context(), id)
			if err == nil {
				s, err = m.Fresh(t.Context(), s, provider.Refresh)
			}
			if err != nil || s.Tokens.Generation != 2 || !s.Tokens.Access.Equal(Tokens(2, time.Time{}).Access) {
				t.Errorf("request %d: generation %d, %v", i, s.Tokens.Generation, err)
			}
		})
	}
	close(start)
	wg.Wait()
	if calls, reused := provider.Calls(); calls != 1 || reused != 0 {
		t.Errorf("%d refreshes, %d of them with a spent token", calls, reused)
	}
}
