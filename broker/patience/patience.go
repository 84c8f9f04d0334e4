// Package patience says once how long tests wait for what must come: as long as a machine needs that does ten things at a
// time. A bound only ends a test that hangs, and is not what is tested.
package patience

import (
	"testing"
	"time"
)

// Limit is for what happens in one process.
const Limit = 30 * time.Second

// Until asks every few milliseconds until ok, and ends the test after [Limit]. what is said then.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	Within(t, Limit, 5*time.Millisecond, what, ok)
}

// Within is Until with another limit, and another pause between two questions.
func Within(t testing.TB, limit, pause time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-tick.C
	}
}
