package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
)

// troubled is a store that can be made to fail, and to wait, around a real one.
type troubled struct {
	session.Shared
	down    atomic.Bool
	touches atomic.Int32

	mu    sync.Mutex
	after chan struct{} // when set, Load waits for it after it has read
}

var errDown = session.Unavailable(errors.New("made to fail"))

func (s *troubled) fail() error {
	if s.down.Load() {
		return errDown
	}
	return nil
}

func (s *troubled) Load(ctx context.Context, h session.Hash) (session.Session, error) {
	if err := s.fail(); err != nil {
		return session.Session{}, err
	}
	v, err := s.Shared.Load(ctx, h)
	s.mu.Lock()
	after := s.after
	s.mu.Unlock()
	if after != nil {
		<-after
	}
	return v, err
}

func (s *troubled) holdLoads(after chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = after
}

func (s *troubled) Replace(ctx context.Context, v session.Session) error {
	if err := s.fail(); err != nil {
		return err
	}
	return s.Shared.Replace(ctx, v)
}

func (s *troubled) End(ctx context.Context, h session.Hash, e session.Ended) error {
	if err := s.fail(); err != nil {
		return err
	}
	return s.Shared.End(ctx, h, e)
}

func (s *troubled) Logout(ctx context.Context, l session.Logout) ([]session.Session, error) {
	if err := s.fail(); err != nil {
		return nil, err
	}
	return s.Shared.Logout(ctx, l)
}

func (s *troubled) Touch(ctx context.Context, v session.Session, at time.Time) error {
	s.touches.Add(1)
	if err := s.fail(); err != nil {
		return err
	}
	return s.Shared.Touch(ctx, v, at)
}

// world is a store and gateways on it, in a bubble where time passes as the test says.
type world struct {
	*testing.T
	store *troubled
}

// bubble runs a test in a world of its own.
func bubble(t *testing.T, test func(w world)) {
	synctest.Test(t, func(t *testing.T) {
		test(world{t, &troubled{Shared: session.NewMemory(nil)}})
	})
}

// pass lets time pass, at once.
func (w world) pass(d time.Duration) { time.Sleep(d) }

func (w world) manager(c session.Config) *session.Manager {
	c.Store = w.store
	if c.Idle == 0 {
		c.Idle = -1 // for ever, unless the test is about that
	}
	return sessiontest.Manage(w.T, c)
}

// login is one whose tokens live for an hour.
func (w world) login(m *session.Manager, change ...func(*session.Session)) (session.ID, session.Session) {
	w.Helper()
	s := sessiontest.New("ann", "s1")
	s.Idle, s.ProviderEnd, s.Absolute = 0, time.Time{}, time.Time{}
	for _, f := range change {
		f(&s)
	}
	return sessiontest.Login(w.T, m, s)
}

// wantCode checks how a browser is answered.
func (w world) wantCode(err error, code string) {
	w.Helper()
	if !errors.Is(err, fault.Unauthenticated) || fault.From(err).Code() != code {
		w.Errorf("%v, want %s", err, code)
	}
}

func (w world) wantLiving(m *session.Manager, id session.ID) session.Session {
	w.Helper()
	s, err := m.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return s
}
