package credential_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		c.Forget("crm/login")
		want(t, c, credential.Live, 2)
		store.set(sealedVault, 0)
		c.Forget("crm/login")
		wantFailure(t, c, fault.Unavailable, "VAULT_SEALED") // nothing is left that could be stale
	})
}

// TestForgetDuringAFlight: what a question brings that was under way when Forget was called goes to its
// callers and is not kept.
func TestForgetDuringAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{slow: time.Second}
		c := credential.NewCache(store, credential.CacheConfig{})
		go func() { _, _ = c.Fetch(t.Context(), "crm/login", budget) }()
		after(time.Millisecond)
		c.Forget("crm/login")
		want(t, c, credential.Live, 2) // which does not join the question of before
		want(t, c, credential.Cached, 2)
	})
}

// TestNoIsNotLostWhenAnotherNameIsForgotten: the no arrives after a Forget of something else.
func TestNoIsNotLostWhenAnotherNameIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		store.set(denied, 100*time.Millisecond)
		after(31 * time.Second)
		go func() {
			time.Sleep(time.Millisecond)
			c.Forget("another")
		}()
		wantFailure(t, c, fault.Denied, "")
		store.set(sealedVault, 0)
		after(time.Second)
		wantFailure(t, c, fault.Unavailable, "VAULT_SEALED")
	})
}

// TestManyAtOnceAskOnce runs in real time, so that some callers come when the flight has just landed.
func TestManyAtOnceAskOnce(t *testing.T) {
	for _, failure := range []error{nil, sealedVault} {
		for range 200 {
			store := &scripted{err: failure}
			c := credential.NewCache(store, credential.CacheConfig{})
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() { _, _ = c.Fetch(t.Context(), "crm/login", 0) })
			}
			wg.Wait()
			if n := store.questions(); n != 1 {
				t.Fatalf("%d questions (failure: %v)", n, failure)
			}
		}
	}
}

func TestNegativeBudgetIsNone(t *testing.T) {
	c := credential.NewCache(&scripted{}, credential.CacheConfig{})
	if _, err := c.Fetch(t.Context(), "crm/login", -time.Hour); err != nil {
		t.Error(err)
	}
}

// TestSweepKeepsWhatABudgetNeeds: an answer that is no longer fresh stays while somebody may need it.
func TestSweepKeepsWhatABudgetNeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		after(5 * time.Minute)
		if _, err := c.Fetch(t.Context(), "another", 0); err != nil {
			t.Fatal(err)
		}
		store.set(sealedVault, 0)
		want(t, c, credential.Stale, 1)
	})
}

func TestAnotherGenerationIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{}
		c := credential.NewCache(store, credential.CacheConfig{})
		want(t, c, credential.Live, 1)
		store.generation.Add(1)
		want(t, c, credential.Live, 2)
		store.set(credential.Unknown("crm/login"), 0)
		store.generation.Add(1)
		wantFailure(t, c, fault.NotFound, credential.ReasonUnknown)
		store.set(nil, 0)
		store.generation.Add(1)
		want(t, c, credential.Live, 4) // the failure was of another generation too
		store.set(sealedVault, 0)
		store.generation.Add(1)
		want(t, c, credential.Stale, 4)
	})
}

func TestNotAfterCapsTheHardDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{life: 15 * time.Second}
		c := credential.NewCache(store, credential.CacheConfig{})
		got := want(t, c, credential.Live, 1)
		if !got.HardDeadline.Equal(got.NotAfter) {
			t.Errorf("hard deadline %v, not after %v", got.HardDeadline, got.NotAfter)
		}
		after(11 * time.Second)
		want(t, c, credential.Cached, 1) // and asks ahead, at two thirds of the shorter time
		after(0)
		want(t, c, credential.Cached, 2)
		store.set(sealedVault, 0)
		after(15 * time.Second)
		wantFailure(t, c, fault.Unavailable, "VAULT_SEALED")
		store.set(nil, 0)
		store.life = -time.Second
		after(time.Second)
		before := store.questions()
		for range 10 {
			wantFailure(t, c, fault.Unavailable, credential.ReasonExpired)
		}
		if n := store.questions() - before; n != 1 {
			t.Errorf("%d questions to a store that has only what is expired", n)
		}
	})
}

func TestNobodyElsesMap(t *testing.T) {
	c := credential.NewCache(&scripted{}, credential.CacheConfig{})
	want(t, c, credential.Live, 1).Fields["n"] = secret.FromString("changed")
	if got := want(t, c, credential.Cached, 1); !got.Fields.Equal(credential.Fields{"n": secret.FromString("1")}) {
		t.Error("a caller changed what another is served")
	}
}

func TestMalformedNamesDoNotReachTheStore(t *testing.T) {
	store := &scripted{}
	c := credential.NewCache(store, credential.CacheConfig{})
	if _, err := c.Fetch(t.Context(), "../x", budget); !errors.Is(err, fault.InvalidRequest) || store.questions() != 0 {
		t.Errorf("%v, %d questions", err, store.questions())
	}
}

func TestSizeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, reg := &scripted{}, prometheus.NewRegistry()
		c := credential.NewCache(store, credential.CacheConfig{Size: 10, Metrics: credential.NewMetrics(reg)})
		want(t, c, credential.Live, 1)
		for i := range 100 {
			if _, err := c.Fetch(t.Context(), credential.Name(fmt.Sprintf("name/%d", i)), budget); err != nil {
				t.Fatal(err)
			}
			want(t, c, credential.Cached, 1) // in use, so it stays
		}
		if n := telemetrytest.Value(t, reg, "intercom_credential_cache_names"); n != 10 {
			t.Errorf("%v names are kept", n)
		}
		after(2 * budget)
		if _, err := c.Fetch(t.Context(), "another", 0); err != nil {
			t.Fatal(err)
		}
		if n := telemetrytest.Value(t, reg, "intercom_credential_cache_names"); n != 1 {
			t.Errorf("%v names are kept, of which one is of use", n)
		}
	})
}

func TestMetricsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, reg := &scripted{}, prometheus.NewRegistry()
		c := credential.NewCache(store, credential.CacheConfig{Metrics: credential.NewMetrics(reg)})
		want(t, c, credential.Live, 1)
		want(t, c, credential.Cached, 1)
		store.set(denied, 0)
		after(31 * time.Second)
		wantFailure(t, c, fault.Denied, "")
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprint(families)
		for _, want := range []string{"live", "cache", "denied", "ok"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in %s", want, text)
			}
		}
	})
}

// TestNeverPastTheHardDeadline drives a cache through random outages, slowness, refusals, leases and
// budgets, and holds every answer to what the store did.
func TestNeverPastTheHardDeadline(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			walk{T: t, rnd: rand.New(rand.NewPCG(seed, 1))}.run()
		})
	}
}

type walk struct {
	*testing.T
	rnd *rand.Rand
}

func (w walk) upTo(d time.Duration) time.Duration { return time.Duration(w.rnd.Int64N(int64(d) + 1)) }

func (w walk) run() {
	store := &scripted{}
	fresh := time.Second + w.upTo(time.Minute)
	c := credential.NewCache(store, credential.CacheConfig{Fresh: fresh})
	var noAt int // the question that was last answered with no
	for range 60 {
		store.mu.Lock()
		store.life = (time.Second + w.upTo(2*fresh)) * time.Duration(w.rnd.IntN(2))
		store.mu.Unlock()
		store.set([]error{nil, nil, sealedVault, fault.Timeout, denied}[w.rnd.IntN(5)], w.upTo(2*time.Second)*time.Duration(w.rnd.IntN(2)))
		after(w.upTo(fresh))
		stale := w.upTo(2*time.Minute) * time.Duration(w.rnd.IntN(2))
		got, err := c.Fetch(w.Context(), "crm/login", stale)
		switch {
		case errors.Is(err, denied):
			noAt = store.questions()
		case err == nil:
			w.hold(store, got, fresh+stale, noAt)
		}
	}
	after(10 * time.Second) // the last question may still be under way
}

func (w walk) hold(store *scripted, got credential.Served, life time.Duration, noAt int) {
	w.Helper()
	store.mu.Lock()
	asked := store.asked[got.Version-1]
	store.mu.Unlock()
	now := time.Now()
	switch {
	case !now.Before(got.HardDeadline):
		w.Errorf("served %v after its hard deadline", now.Sub(got.HardDeadline))
	case got.HardDeadline.After(asked.Add(life)):
		w.Errorf("the hard deadline is %v after the question, %v is allowed", got.HardDeadline.Sub(asked), life)
	case !got.NotAfter.IsZero() && got.HardDeadline.After(got.NotAfter):
		w.Errorf("the hard deadline is %v after the end of the credential", got.HardDeadline.Sub(got.NotAfter))
	case got.Age != now.Sub(asked):
		w.Errorf("age %v, but it was asked for %v ago", got.Age, now.Sub(asked))
	case int(got.Version) <= noAt:
		w.Errorf("version %d was served after question %d was answered with no", got.Version, noAt)
	}
}

func BenchmarkFetchCached(b *testing.B) {
	c := credential.NewCache(&scripted{}, credential.CacheConfig{Fresh: time.Hour})
	if _, err := c.Fetch(b.Context(), "crm/login", budget); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.Fetch(b.Context(), "crm/login", budget)
	}
}
