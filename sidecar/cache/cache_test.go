package cache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

// source is a Fetcher whose answers the test sets. It counts, and notices two flights for one key.
type source struct {
	mu     sync.Mutex
	took   time.Duration // how long one fetch takes
	life   time.Duration
	stale  time.Duration
	renew  time.Duration // zero: the cache's own rule
	err    error
	asked  map[string][]time.Duration // since start
	flying map[string]bool
	twice  bool
	start  time.Time
}

func newSource(life time.Duration) *source {
	return &source{life: life, asked: map[string][]time.Duration{}, flying: map[string]bool{}, start: time.Now()}
}

func (s *source) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *source) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked[key])
}

func (s *source) at(key string, n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n >= len(s.asked[key]) {
		return -1
	}
	return s.asked[key][n]
}

func (s *source) Fetch(ctx context.Context, key string) (cache.Fetched[string], error) {
	s.begin(key)
	defer s.end(key)
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return cache.Fetched[string]{}, fault.New(fault.Timeout, "", "too slow").Because(ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return cache.Fetched[string]{}, s.err
	}
	got := cache.Fetched[string]{Value: fmt.Sprintf("%s#%d", key, len(s.asked[key])), Expires: time.Now().Add(s.life), Stale: s.stale}
	if s.renew > 0 {
		got.RenewAfter = time.Now().Add(s.renew)
	}
	return got, nil
}

func (s *source) begin(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.twice = s.twice || s.flying[key]
	s.flying[key] = true
	s.asked[key] = append(s.asked[key], time.Since(s.start))
}

func (s *source) end(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[key] = false
}

// run runs f in a bubble with a source and a cache without jitter.
func run(t *testing.T, life time.Duration, f func(t *testing.T, s *source, c *cache.Cache[string, string])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(life)
		c := cache.New(s, cache.Config{Jitter: func() float64 { return 0 }})
		defer c.Close()
		f(t, s, c)
	})
}

func get(t *testing.T, c *cache.Cache[string, string], key string) cache.Served[string] {
	t.Helper()
	served, err := c.Get(t.Context(), key)
	if err != nil {
		t.Errorf("Get(%q): %v", key, err)
	}
	return served
}

func TestOneFlight(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = 2 * time.Second
		gone, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := c.Get(gone, "k"); first <- err }()
		synctest.Wait()
		values := make(chan string, 50)
		for range 50 {
			go func() { values <- get(t, c, "k").Value }()
		}
		time.Sleep(time.Second)
		cancel() // the one that began the flight goes away
		if err := <-first; !errors.Is(err, fault.Timeout) || !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that went away got %v", err)
		}
		for range 50 {
			if v := <-values; v != "k#1" {
				t.Errorf("got %q", v)
			}
		}
		if n := s.count("k"); n != 1 {
			t.Errorf("%d fetches for 51 callers", n)
		}
	})
}

func TestRenewsAheadWithoutWaiting(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = 2 * time.Second
		get(t, c, "k")
		for range 360 {
			time.Sleep(10 * time.Second)
			before := time.Now()
			served := get(t, c, "k")
			if waited := time.Since(before); waited > 0 {
				t.Fatalf("after %v the caller waited %v", time.Since(s.start), waited)
			}
			if served.From != cache.Fresh || !time.Now().Before(served.Expires) {
				t.Fatalf("served %+v", served)
			}
		}
		// 3602 s at one renewal each 200 s and the 2 s that it takes.
		if n := s.count("k"); n < 17 || n > 19 {
			t.Errorf("%d fetches in an hour", n)
		}
	})
}

func TestRenewalMoment(t *testing.T) {
	for name, test := range map[string]struct {
		jitter float64
		renew  time.Duration
		want   time.Duration
	}{
		"two thirds":           {0, 0, 200 * time.Second},
		"a tenth earlier":      {1, 0, 170 * time.Second},
		"the source says when": {0, 30 * time.Second, 30 * time.Second},
		"nonsense is ignored":  {0, time.Hour, 200 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSource(5 * time.Minute)
				s.renew = test.renew
				c := cache.New(s, cache.Config{Jitter: func() float64 { return test.jitter }})
				defer c.Close()
				get(t, c, "k")
				get(t, c, "k") // used
				time.Sleep(210 * time.Second)
				if got := s.at("k", 1); got != test.want {
					t.Errorf("renewed after %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestIdleKeyIsLetGo(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		get(t, c, "k")
		time.Sleep(time.Hour)
		if n := s.count("k"); n != 1 {
			t.Errorf("a key that nobody used was fetched %d times", n)
		}
		if keys := c.Keys(); len(keys) != 0 {
			t.Errorf("still there: %v", keys)
		}
	})
}

func TestWarmIsNoUse(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		get(t, c, "used")
		if err := c.Warm(t.Context(), "warmed"); err != nil {
			t.Error(err)
		}
		c.Hold("held")
		synctest.Wait()
		keys := c.Keys()
		slices.Sort(keys)
		if !slices.Equal(keys, []string{"held", "used"}) {
			t.Errorf("in use: %v", keys)
		}
		if get(t, c, "warmed"); s.count("warmed") != 1 || len(c.Keys()) != 3 {
			t.Errorf("fetched %d times; in use: %v", s.count("warmed"), c.Keys())
		}
		s.set(denied)
		if err := c.Warm(t.Context(), "other"); !errors.Is(err, fault.Denied) {
			t.Errorf("got %v", err)
		}
	})
}

// TestSeldomUsed asks once between the renewal that did not happen and the end: the value is served and
// renewed behind the caller's back.
func TestSeldomUsed(t *testing.T) {
	run(t, 5*time.Minute, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		get(t, c, "k")
		time.Sleep(4 * time.Minute)
		if v := get(t, c, "k").Value; v != "k#1" {
			t.Errorf("got %q", v)
		}
		synctest.Wait()
		if v := get(t, c, "k").Value; v != "k#2" {
			t.Errorf("got %q after the renewal", v)
		}
	})
}

func TestForget(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = time.Second
		done := make(chan string)
		go func() { done <- get(t, c, "k").Value }()
		synctest.Wait()
		c.Forget("k") // while the flight is under way
		if v := <-done; v != "k#1" {
			t.Errorf("who waited got %q", v)
		}
		if v := get(t, c, "k").Value; v != "k#2" {
			t.Errorf("what was forgotten came back: %q", v)
		}
		c.Forget("nothing")
	})
}

// TestForgottenFlightFails: the older flight ends in a failure after the newer one brought a value.
func TestForgottenFlightFails(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = 10 * time.Second
		older := make(chan error, 1)
		go func() { _, err := c.Get(t.Context(), "k"); older <- err }()
		synctest.Wait()
		c.Forget("k")
		s.mu.Lock()
		s.took = time.Second
		s.mu.Unlock()
		get(t, c, "k")
		s.set(away)
		if err := <-older; err == nil {
			t.Error("the older flight did not fail")
		}
		if v := get(t, c, "k").Value; v != "k#2" {
			t.Errorf("the older flight's failure took the newer value away: %q", v)
		}
	})
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(time.Hour)
		c := cache.New(s, cache.Config{Max: 3})
		defer c.Close()
		c.Hold("held")
		for _, key := range []string{"a", "b", "c", "a", "d"} { // d makes b go
			get(t, c, key)
			time.Sleep(time.Second)
		}
		for _, key := range []string{"a", "c", "d", "held"} {
			get(t, c, key)
		}
		if s.count("a") != 1 || s.count("c") != 1 || s.count("d") != 1 || s.count("held") != 1 {
			t.Errorf("another key than the one that was idle longest made room: %v", s.asked)
		}
		get(t, c, "b")
		if s.count("b") != 2 {
			t.Error("more than Max keys are kept")
		}
	})
}

func TestFullOfFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(time.Hour)
		s.took = 5 * time.Second
		c := cache.New(s, cache.Config{Max: 2})
		defer c.Close()
		for _, key := range []string{"a", "b"} {
			go get(t, c, key)
		}
		synctest.Wait()
		if _, err := c.Get(t.Context(), "c"); !errors.Is(err, fault.Overloaded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(6 * time.Second)
		get(t, c, "c")
	})
}

func TestClose(t *testing.T) {
	run(t, time.Hour, func(t *testing.T, s *source, c *cache.Cache[string, string]) {
		s.took = time.Minute
		waiting := make(chan error, 1)
		go func() { _, err := c.Get(t.Context(), "k"); waiting <- err }()
		synctest.Wait()
		c.Close()
		if err := <-waiting; err == nil {
			t.Error("a flight outlived Close")
		}
		if _, err := c.Get(t.Context(), "k"); !errors.Is(err, fault.Unavailable) {
			t.Errorf("after Close: %v", err)
		}
		n := s.count("k")
		c.Hold("k")
		synctest.Wait()
		if s.count("k") != n {
			t.Error("Hold begins a flight after Close")
		}
	})
}
