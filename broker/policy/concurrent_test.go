package policy_test

import (
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
)

// TestConcurrentDecisions is for the race detector: snapshots are shared by all requests.
func TestConcurrentDecisions(t *testing.T) {
	d := newDice(11)
	csv := d.policy()
	index, plain := both(t, csv)
	var requests []policy.Request
	for range 50 {
		requests = append(requests, d.request())
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, r := range requests {
				got, _ := index.Decide(t.Context(), r)
				if want, _ := plain.Decide(t.Context(), r); differ(got, want) != "" {
					t.Errorf("index %+v, casbin %+v", got, want)
				}
				if _, err := index.Explain(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
