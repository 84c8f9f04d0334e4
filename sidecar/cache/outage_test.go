package cache_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

var (
	away   = fault.New(fault.Unavailable, "VAULT_SEALED", "the store is sealed")
	denied = fault.WithDecision(fault.New(fault.Denied, "", "denied"), "d-1")
)

// TestStaleWithinBudget: a life of 5 minutes, due after 200 s, a budget of 60 s.
func TestStaleWithinBudget(t *testing.T) {
	for name, err := range map[string]error{
		"unavailable": away,
		"timeout":     fault.New(fault.Timeout, "", "slow"),
		"overloaded":  fault.New(fault.Overloaded, "", "busy"),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
				s.stale = time.Minute
				get(t, c, "k")
				get(t, c, "k")
				s.set(err)
				time.Sleep(201 * time.Second)
				if got := get(t, c, "k"); got.From != cache.Stale || got.Value != "k#1" {
					t.Errorf("in the outage: %+v", got)
				}
				time.Sleep(58 * time.Second)
				get(t, c, "k")
				time.Sleep(2 * time.Second) // 261 s
				if _, got := c.Get(t.Context(), "k"); !errors.Is(got, err) {
					t.Errorf("past the budget: %v", got)
				}
				s.set(nil)
				if got := get(t, c, "k"); got.From != cache.Live {
					t.Errorf("after the outage: %+v", got)
				}
			})
		})
	}
}

func TestStaleNeverPastTheEnd(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.stale = time.Hour
		get(t, c, "k")
		get(t, c, "k")
		s.set(away)
		time.Sleep(5*time.Minute - time.Millisecond)
		get(t, c, "k")
		time.Sleep(time.Millisecond)
		if got, err := c.Get(t.Context(), "k"); err == nil {
			t.Errorf("served at its end: %+v", got)
		}
	})
}

func TestNoBudgetNoStale(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		get(t, c, "k")
		get(t, c, "k")
		s.set(away)
		time.Sleep(201 * time.Second)
		if got, err := c.Get(t.Context(), "k"); err == nil {
			t.Errorf("served: %+v", got)
		}
	})
}

// TestRetriesWithBackoff counts the tries of a held key in a long outage.
func TestRetriesWithBackoff(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.set(away)
		c.Hold("k")
		time.Sleep(10 * time.Minute)
		if n := s.count("k"); n < 40 || n > 60 {
			t.Errorf("%d tries in ten minutes", n)
		}
		if second, third := s.at("k", 1), s.at("k", 2)-s.at("k", 1); second != 375*time.Millisecond || third != 2*second {
			t.Errorf("waited %v, then %v", second, third)
		}
		gaps := c.Missing()
		if len(gaps) != 1 || gaps[0].Key != "k" || !errors.Is(gaps[0].Err, fault.Unavailable) {
			t.Errorf("gaps %+v", gaps)
		}
		s.set(nil)
		time.Sleep(16 * time.Second)
		if gaps := c.Missing(); len(gaps) != 0 {
			t.Errorf("back, and still missing: %+v", gaps)
		}
	})
}

func TestRetryWaitsAsAsked(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		busy := *away
		busy.RetryAfter = time.Minute
		s.set(&busy)
		c.Hold("k")
		time.Sleep(90 * time.Second)
		if n := s.count("k"); n != 2 {
			t.Errorf("%d tries in 90 s, though asked to wait a minute", n)
		}
	})
}

func TestRefusalIsFinal(t *testing.T) {
	for name, err := range map[string]error{
		"denied":    denied,
		"not found": fault.New(fault.NotFound, "CREDENTIAL_UNKNOWN", "none of that name"),
		"internal":  errors.New("whatever nobody classified"),
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
				s.stale = time.Hour
				get(t, c, "k")
				get(t, c, "k")
				s.set(err)
				time.Sleep(200*time.Second + time.Millisecond)
				for range 100 {
					if _, got := c.Get(t.Context(), "k"); !errors.Is(got, err) {
						t.Fatalf("got %v", got)
					}
				}
				if n := s.count("k"); n != 2 {
					t.Errorf("the refusal was asked for %d times within a moment", n-1)
				}
				s.set(nil)
				time.Sleep(time.Second)
				get(t, c, "k")
			})
		})
	}
}

func TestHeldIsRenewedUnused(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = time.Second
		c.Hold("k")
		if gaps := c.Missing(); len(gaps) != 1 || gaps[0].Err != nil {
			t.Errorf("before the first fetch: %+v", gaps)
		}
		for range 60 {
			time.Sleep(time.Minute)
			if gaps := c.Missing(); len(gaps) != 0 {
				t.Fatalf("after %v: %+v", time.Since(s.start), gaps)
			}
		}
		c.Hold("other")
		n := s.count("k")
		time.Sleep(time.Hour)
		if got := s.count("k"); got > n+1 {
			t.Errorf("released, and still fetched %d times", got-n)
		}
	})
}

func TestHeldIsFetchedAgainAfterForget(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		c.Hold("k")
		synctest.Wait()
		c.Forget("k")
		synctest.Wait()
		if n := s.count("k"); n != 2 || len(c.Missing()) != 0 {
			t.Errorf("%d fetches, missing %v", n, c.Missing())
		}
	})
}

func TestArrivesExpired(t *testing.T) {
	run(t, -time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		if got, err := c.Get(t.Context(), "k"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("served %+v, %v", got, err)
		}
	})
}

func TestSlowSourceTimesOut(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = time.Minute
		before := time.Now()
		if _, err := c.Get(t.Context(), "k"); !errors.Is(err, fault.Timeout) || time.Since(before) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(before))
		}
	})
}

// TestRandomWalk holds the two promises that matter whatever happens: nothing is served at or past its
// end, and there is never more than one flight for a key.
func TestRandomWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(90 * time.Second)
		s.took, s.stale = 3*time.Second, 40*time.Second
		c := cache.New(s, cache.Config{Max: 4})
		defer c.Close()
		keys := []string{"a", "b", "c", "d", "e", "f"}
		outcomes := []error{nil, nil, nil, away, away, denied}
		for range 3000 {
			time.Sleep(time.Duration(rand.IntN(9000)) * time.Millisecond)
			key := keys[rand.IntN(len(keys))]
			switch rand.IntN(20) {
			case 0:
				s.set(outcomes[rand.IntN(len(outcomes))])
			case 1:
				c.Hold(keys[:rand.IntN(3)]...)
			default:
				if got, err := c.Get(t.Context(), key); err == nil && !time.Now().Before(got.Expires) {
					t.Fatalf("served past its end: %+v at %v", got, time.Now())
				}
			}
		}
		synctest.Wait() // for what is due at this very moment
		if s.twice {
			t.Error("two flights for one key")
		}
	})
}
