package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

// TestTailAllFollows: what two logs hold comes in the order of time, and then what is written to either.
func TestTailAllFollows(t *testing.T) {
	a, dirA := open(t, audit.Config{})
	b, dirB := open(t, audit.Config{})
	var want []string
	for _, l := range []*audit.Log{a, b, b, a} {
		want = append(want, acts(t, l, 1)...)
	}
	want = want[1:] // six of eight entries are asked for
	var got []string
	for e, err := range audit.TailAll(t.Context(), []string{dirA, dirB}, audit.TailConfig{Follow: true, Last: 6, Poll: time.Millisecond}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == audit.KindDecision {
			got = append(got, e.Decision)
		}
		if e.Kind == audit.KindOutcome { // one act at a time, so that what follows has one order
			switch len(got) {
			case 3:
				want = append(want, acts(t, b, 1)...)
			case 4:
				want = append(want, acts(t, a, 1)...)
			}
		}
		if len(got) == 5 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
