package mtls

import (
	"testing"
	"time"
)

// TestAgeStaysWithinHalfLife: with grpc-go's jitter of a tenth the connection is asked to go in time, and
// never needlessly early. It looks inside because there is no other way to see all ages in a moment.
func TestAgeStaysWithinHalfLife(t *testing.T) {
	ages := map[time.Duration]bool{}
	for untilRenew := 3 * time.Millisecond; untilRenew < 100*24*time.Hour; untilRenew = untilRenew * 101 / 100 {
		age := ageOf(untilRenew)
		ages[age] = true
		if latest := age + age/10; latest > untilRenew {
			t.Fatalf("%v until half life: asked to go after up to %v", untilRenew, latest)
		}
		if earliest := age - age/10; age < maxAge && earliest < untilRenew*2/5 {
			t.Fatalf("%v until half life: asked to go after %v already", untilRenew, earliest)
		}
	}
	if len(ages) > 23 {
		t.Errorf("%d ages, and as many servers", len(ages))
	}
	for _, past := range []time.Duration{0, -time.Hour, 1} {
		if ageOf(past) != minAge {
			t.Errorf("%v until half life: %v", past, ageOf(past))
		}
	}
}
