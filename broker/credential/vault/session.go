package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	confirmEvery = 2 * time.Second        // between two looks at whether a token that was denied is good
	backoffLeast = 250 * time.Millisecond // after a first failure
	backoffAway  = 5 * time.Second        // at most, while Vault does not answer
	backoffNo    = 30 * time.Second       // at most, while Vault says no
)

// session holds the login. Its goroutine alone logs in and renews; all others only read what it has.
//
//	    ┌──────── failed: wait, twice as long each time ────────┐
//	    ▼                                                       │
//	log in ── ok ──▶ hold ── two thirds of its life ──▶ renew ──┤ (while the token lasts)
//	    ▲                 ▲                               │ ok  │
//	    │                 └───────────────────────────────┘     │
//	    └── 4xx, not renewable, max TTL near, or found dead ────┘
type session struct {
	cfg    Config
	lanes  lanes
	caller *caller
	ask    chan *login // a login that was found dead
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	login   *login
	failure error         // of the latest login or renewal; nil after one that succeeded
	next    time.Time     // when the next login is tried, after a failure
	changed chan struct{} // closed, and replaced, at every change
}

func newSession(ctx context.Context, cfg Config, l lanes, c *caller) *session {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{
		cfg: cfg, lanes: l, caller: c, ask: make(chan *login), cancel: cancel,
		done: make(chan struct{}), changed: make(chan struct{}),
	}
	go s.run(ctx)
	return s
}

func (s *session) run(ctx context.Context) {
	defer close(s.done)
	for failures := 0; ctx.Err() == nil; {
		l, err := s.logIn(ctx)
		if err == nil {
			failures = 0
			s.cfg.Logger.InfoContext(ctx, "logged in to Vault", "method", s.cfg.Auth.Method, "role", s.cfg.Auth.Role, "life", l.life)
			s.set(l)
			s.keep(ctx, l)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		wait := backoff(failures, err)
		failures++
		s.cfg.Logger.WarnContext(ctx, "login to Vault failed", "reason", fault.From(err).Code(), "error", err, "again_in", wait)
		s.fail(err, wait)
		sleep(ctx, wait)
	}
}

// keep renews l for as long as that is of use. It returns when a new login is needed, while the old one
// holds where that can be.
func (s *session) keep(ctx context.Context, l *login) {
	for failures := 0; ; {
		wait := renewIn(l, failures)
		if !s.hold(ctx, l, wait) || !l.renewable {
			return
		}
		next, err := s.renew(ctx, l)
		switch {
		case err == nil:
			failures, l = 0, next
			s.set(l)
			if l.granted < l.life*9/10 { // the max TTL cuts it: no later renewal gives more
				return
			}
		case ctx.Err() != nil, !l.good(time.Now()):
			return
		case fault.KindOf(err) == fault.Internal: // a 4xx is final: asking again never helped anybody
			s.cfg.Logger.InfoContext(ctx, "Vault does not renew the login; logging in anew", "error", err)
			return
		default:
			failures++
			s.cfg.Logger.WarnContext(ctx, "renewing the login to Vault failed", "reason", fault.From(err).Code(), "error", err, "ends", l.notAfter)
			s.fail(err, 0)
		}
	}
}

// renewIn is how long to wait before the next renewal: until two thirds of the life that is left, less
// up to a tenth at random, so that replicas that started together drift apart. After a failure it is the
// backoff, and no more than half of what is left, so that the end does not come while we wait.
func renewIn(l *login, failures int) time.Duration {
	if l.notAfter.IsZero() {
		return time.Duration(1<<63 - 1)
	}
	left := time.Until(l.notAfter)
	if failures > 0 {
		return max(min(backoff(failures-1, nil), left/2), backoffLeast/4)
	}
	return time.Duration(float64(left) * (2.0/3 - 0.1*rand.Float64()))
}

// backoff doubles from backoffLeast to the most that fits the failure, with half of it at random.
func backoff(failures int, err error) time.Duration {
	most := backoffAway
	if err != nil && fault.KindOf(err) == fault.Internal {
		most = backoffNo
	}
	d := min(backoffLeast<<min(failures, 16), most)
	return d/2 + rand.N(d/2)
}

// hold waits, and reports whether the login is still good as far as anybody has said.
func (s *session) hold(ctx context.Context, l *login, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case dead := <-s.ask:
			if dead.pulse == l.pulse { // it may have been replaced in the meantime
				return false
			}
		case <-timer.C:
			return true
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (s *session) set(l *login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login, s.failure, s.next = l, nil, time.Time{}
	s.tell()
	s.cfg.Metrics.loggedIn(l.notAfter)
}

func (s *session) fail(err error, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.next = err, time.Now().Add(wait)
	s.tell()
}

func (s *session) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// current returns the login, waits for the first one, and fails with the reason while there is none.
func (s *session) current(ctx context.Context) (*login, error) { return s.await(ctx, nil) }

// await waits for a login, and for another than dead unless that is nil. A failure ends the wait: the next
// attempt may be far off.
func (s *session) await(ctx context.Context, dead *login) (*login, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout) // whatever the caller, or our Identity, does
	defer cancel()
	ask := s.ask
	if dead == nil {
		ask = nil
	}
	for {
		s.mu.Lock()
		l, failed, next, changed := s.login, s.failure, s.next, s.changed
		s.mu.Unlock()
		if l.good(time.Now()) && (dead == nil || l.pulse != dead.pulse) {
			return l, nil
		}
		if failed != nil {
			return nil, retryAt(failed, next)
		}
		select {
		case ask <- dead:
			ask = nil
		case <-changed:
		case <-s.done:
			return nil, fault.New(fault.Internal, ReasonClosed, "the credential store is closed")
		case <-ctx.Done():
			return nil, failure(ctx, "waiting for the login", ctx.Err())
		}
	}
}

// retryAt adds when the next login is tried, where that is later than what Vault itself asked for. It is
// never at once: the next caller would only be told the same.
func retryAt(err error, next time.Time) error {
	e := *fault.From(err)
	e.RetryAfter = max(e.RetryAfter, time.Until(next), time.Second)
	return &e
}

// ready is nil while there is a login.
func (s *session) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.login.good(time.Now()):
		return nil
	case s.failure != nil:
		return s.failure
	default:
		return errors.New("the login to Vault is under way")
	}
}

// close ends the goroutine and gives the token back.
func (s *session) close() {
	s.cancel()
	<-s.done
	s.mu.Lock()
	l := s.login
	s.login, s.failure = nil, nil
	s.mu.Unlock()
	if !l.good(time.Now()) {
		return
	}
	if err := s.revoke(context.Background(), l); err != nil {
		s.cfg.Logger.Warn("the login to Vault was not revoked and ends by itself", "error", err, "ends", l.notAfter)
	}
}
