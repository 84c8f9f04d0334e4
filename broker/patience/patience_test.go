package patience_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/patience"
)

// TestUntil: it waits for what comes late, and no longer.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		patience.Until(t, "the third time", func() bool { asked++; return asked == 3 })
		if took := time.Since(began); took != 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// ended is a test that remembers its end.
type ended struct {
	testing.TB
	said string
}

func (e *ended) Fatalf(format string, _ ...any) { e.said = format; panic(e) }

// TestLimit: what never comes ends the test.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, e := time.Now(), &ended{TB: t}
		defer func() {
			if recover() != e || e.said == "" || time.Since(began) > patience.Limit+time.Second {
				t.Errorf("%q after %v", e.said, time.Since(began))
			}
		}()
		patience.Until(e, "never", func() bool { return false })
	})
}
