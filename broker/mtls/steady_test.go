package mtls_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// onSteadyMachine runs load, which returns what failed. SVIDs of 2 s live on real time: where the whole
// machine stood still for a good part of one, and only then, failures say nothing and load runs again.
func onSteadyMachine(t *testing.T, load func() []error) {
	t.Helper()
	const tolerated = 500 * time.Millisecond
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
	t.Error("the machine stands still too often for SVIDs of 2 s")
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

// hammer calls from n goroutines without pause for some lives of an SVID, and returns what failed.
func hammer(t *testing.T, n int, call func() error) (failures []error) {
	t.Helper()
	end := 3500 * time.Millisecond
	if testing.Short() {
		end = 1200 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), end)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := call(); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
					return
				}
				<-time.After(time.Millisecond)
			}
		})
	}
	wg.Wait()
	return failures
}
