package credential_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// scripted is a store that answers as the test sets it. Each good answer is a new version.
type scripted struct {
	mu         sync.Mutex
	err        error
	slow       time.Duration
	life       time.Duration // of what it hands out; zero: no end
	asked      []time.Time
	generation atomic.Uint64
}

func (s *scripted) set(err error, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.slow = err, slow
}

func (s *scripted) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func (s *scripted) Generation() uint64 { return s.generation.Load() }

func (s *scripted) Read(ctx context.Context, name credential.Name) (credential.Credential, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	err, slow, n, life := s.err, s.slow, len(s.asked), s.life
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return credential.Credential{}, ctx.Err()
	}
	c := credential.Credential{Name: name, Version: uint64(n), Fields: credential.Fields{"n": secret.FromString(fmt.Sprint(n))}}
	if life != 0 {
		c.NotAfter = time.Now().Add(life)
	}
	return c, err
}

func (s *scripted) Write(context.Context, credential.Name, credential.Fields) (uint64, error) {
	return 0, fault.Unsupported
}
func (s *scripted) Delete(context.Context, credential.Name) error { return fault.Unsupported }
func (s *scripted) List(context.Context, credential.Name) ([]credential.Name, error) {
	return nil, fault.Unsupported
}

var (
	sealedVault = fault.New(fault.Unavailable, "VAULT_SEALED", "the store is sealed")
	denied      = fault.New(fault.Denied, "", "no")
)

const budget = 10 * time.Minute

// want fetches and compares where the answer is from and which question of the store it answers.
func want(t *testing.T, c *credential.Cache, from credential.From, version uint64) credential.Served {
	t.Helper()
	got, err := c.Fetch(t.Context(), "crm/login", budget)
	if err != nil || got.From != from || got.Version != version {
		t.Fatalf("got %v version %d, %v; want %v version %d", got.From, got.Version, err, from, version)
	}
	return got
}

func wantFailure(t *testing.T, c *credential.Cache, kind fault.Kind, reason string) {
	t.Helper()
	got, err := c.Fetch(t.Context(), "crm/login", budget)
	if !errors.Is(err, kind) || fault.From(err).Reason != reason {
		t.Fatalf("got %v version %d, %v; want %v %s", got.From, got.Version, err, kind, reason)
	}
}

func after(d time.Duration) {
	time.Sleep(d) // in a bubble: no time passes outside
	synctest.Wait()
}

func TestFreshThenAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		start := time.Now()
		if got := want(t, c, credential.Live, 1); !got.HardDeadline.Equal(start.Add(30*time.Second + budget)) {
			t.Errorf("hard deadline %v after the question", got.HardDeadline.Sub(start))
		}
		after(19 * time.Second)
		if got := want(t, c, credential.Cached, 1); got.Age != 19*time.Second {
			t.Errorf("age %v", got.Age)
		}
		if n := store.questions(); n != 1 {
			t.Fatalf("%d questions while the answer was young", n)
		}
		after(2 * time.Second)
		want(t, c, credential.Cached, 1) // sets off the question, and does not wait
		after(0)
		want(t, c, credential.Cached, 2)
		after(31 * time.Second)
		want(t, c, credential.Live, 3)
	})
}

func TestOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{slow: time.Second}
		c := credential.NewCache(store, credential.CacheConfig{})
		first, cancel := context.WithCancel(t.Context())
		var served, cancelled atomic.Int32
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Fetch(first, "crm/login", 0); errors.Is(err, context.Canceled) {
				cancelled.Add(1)
			}
		})
		after(time.Millisecond)
		for range 100 {
			wg.Go(func() {
				if got, err := c.Fetch(t.Context(), "crm/login", 0); err == nil && got.Version == 1 {
					served.Add(1)
				}
			})
		}
		after(time.Millisecond)
		cancel()
		wg.Wait()
		if store.questions() != 1 || served.Load() != 100 || cancelled.Load() != 1 {
			t.Errorf("%d questions, %d served, %d cancelled", store.questions(), served.Load(), cancelled.Load())
		}
	})
}

func TestOutageIsSurvivedUntilTheHardDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		hard := want(t, c, credential.Live, 1).HardDeadline
		store.set(sealedVault, 0)
		after(31 * time.Second)
		if got := want(t, c, credential.Stale, 1); !got.HardDeadline.Equal(hard) {
			t.Errorf("the hard deadline moved from %v to %v", hard, got.HardDeadline)
		}
		if _, err := c.Fetch(t.Context(), "crm/login", 0); !errors.Is(err, sealedVault) {
			t.Errorf("a caller without a budget got %v", err)
		}
		after(time.Until(hard) - time.Nanosecond)
		want(t, c, credential.Stale, 1)
		after(time.Nanosecond)
		wantFailure(t, c, fault.Unavailable, "VAULT_SEALED")
		store.set(nil, 0)
		after(time.Second)
		if got := want(t, c, credential.Live, uint64(store.questions()+1)); got.Age != 0 {
			t.Errorf("age %v", got.Age)
		}
	})
}

// TestRecoveryIsSeen lets the store come back while answers are stale: the next question goes behind a
// caller, and the one after it is served what it brought.
func TestRecoveryIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		store.set(sealedVault, 0)
		after(31 * time.Second)
		want(t, c, credential.Stale, 1)
		store.set(nil, 0)
		after(time.Second)
		want(t, c, credential.Stale, 1)
		after(0)
		want(t, c, credential.Cached, 3)
	})
}

// TestAnOutageIsWaitedForOnce: the store hangs, as one does whose packets are dropped. One burst of
// callers waits for Patience, and then nobody does.
func TestAnOutageIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		store.set(nil, time.Hour)
		after(31 * time.Second)
		begin := time.Now()
		want(t, c, credential.Stale, 1)
		if took := time.Since(begin); took != 500*time.Millisecond {
			t.Errorf("the first caller waited %v", took)
		}
		after(10 * time.Second)
		for range 30 {
			begin := time.Now()
			want(t, c, credential.Stale, 1)
			if took := time.Since(begin); took != 0 {
				t.Errorf("a caller waited %v for a store that is known to hang", took)
			}
			after(time.Second)
		}
		after(budget)
		wantFailure(t, c, fault.Timeout, "STORE_SLOW")
	})
}

func TestNoIsFinal(t *testing.T) {
	for _, no := range []*fault.Error{credential.Unknown("crm/login"), denied, fault.New(fault.Internal, "X", "odd")} {
		synctest.Test(t, func(t *testing.T) {
			store := &scripted{}
			c := credential.NewCache(store, credential.CacheConfig{})
			want(t, c, credential.Live, 1)
			store.set(no, 0)
			after(31 * time.Second)
			wantFailure(t, c, no.Kind, no.Reason)
			store.set(sealedVault, 0)
			after(time.Second)
			wantFailure(t, c, fault.Unavailable, "VAULT_SEALED")
		})
	}
}

// TestNoAheadIsFinal: the no comes to a question that went ahead, while the kept answer is still fresh.
func TestNoAheadIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		store.set(denied, 0)
		after(21 * time.Second)
		want(t, c, credential.Cached, 1)
		after(0)
		wantFailure(t, c, fault.Denied, "")
	})
}

// TestFailuresAreNotHammered holds the stated bound: one question per name and Backoff.
func TestFailuresAreNotHammered(t *testing.T) {
	for _, failure := range []*fault.Error{sealedVault, credential.Unknown("crm/login")} {
		synctest.Test(t, func(t *testing.T) {
			store := &scripted{err: failure}
			c := credential.NewCache(store, credential.CacheConfig{})
			for range 1000 {
				wantFailure(t, c, failure.Kind, failure.Reason)
				after(10 * time.Millisecond)
			}
			if n := store.questions(); n != 10 {
				t.Errorf("%d questions in 10 s", n)
			}
		})
	}
}

// TestDoubt holds that what is doubted is asked for once more and, other than what is forgotten, still carries
// over an outage.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		c := credential.NewCache(s, credential.CacheConfig{})
		c.Doubt("crm/login") // of which nothing is kept
		want(t, c, credential.Live, 1)
		want(t, c, credential.Cached, 1)
		c.Doubt("crm/other")
		want(t, c, credential.Cached, 1)
		time.Sleep(time.Millisecond)
		c.Doubt("crm/login")
		time.Sleep(time.Millisecond)
		want(t, c, credential.Live, 2)
		want(t, c, credential.Cached, 2)
		s.set(sealedVault, 0)
		time.Sleep(time.Millisecond)
		c.Doubt("crm/login")
		want(t, c, credential.Stale, 2)
		s.set(nil, 0)
		time.Sleep(2 * time.Second)
		want(t, c, credential.Stale, 2) // and the question goes on behind it
		synctest.Wait()
		want(t, c, credential.Cached, 4)
	})
}
