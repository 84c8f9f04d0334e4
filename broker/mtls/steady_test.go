package mtls_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// brief is how long SVIDs live that rotate under load, or a second more. A client has an eighth of that to move on before
// its server asks it to.
const brief = 4 * time.Second

// onSteadyMachine runs load, which returns what failed. Brief SVIDs live on real time: where the whole machine
// stood still for a good part of that eighth, and only then, failures say nothing and load runs again.
func onSteadyMachine(t *testing.T, load func() []error) {
	t.Helper()
	const tolerated = brief / 16
	for range 4 {
		stop, worst := make(chan struct{}), make(chan time.Duration)
		go watchStalls(stop, worst)
		failures := load()
		close(stop)
		stalled := <-worst
		if len(failures) > 0 && stalled > tolerated {
			t.Logf("the machine stood still for %v, again; then %d failed, the first with: %v", stalled, len(failures), failures[0])
			continue
		}
		for _, err := range failures {
			t.Error(err)
		}
		return
	}
	t.Errorf("the machine stands still too often for SVIDs of %v", brief)
}

// watchStalls sends the longest time by which a tick of 5 ms was late.
func watchStalls(stop <-chan struct{}, worst chan<- time.Duration) {
	var longest time.Duration
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			worst <- longest
			return
		case <-tick.C:
			longest = max(longest, time.Since(last))
			last = time.Now()
		}
	}
}

// hammer calls from n goroutines without pause for the brief life of an SVID, a third of one where the tests are to be
// short, and on until it was enough, and returns what failed.
func hammer(t *testing.T, n int, call func() error, enough func() bool) (failures []error) {
	t.Helper()
	least := brief
	if testing.Short() {
		least = brief / 3
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	time.AfterFunc(least, func() {
		for ctx.Err() == nil && !enough() {
			<-time.After(10 * time.Millisecond)
		}
		cancel()
	})
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := call(); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
					cancel()
					return
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	wg.Wait()
	return failures
}
