package doctor

import (
	"context"
	"testing"
	"time"
)

// TestRun: answers come in the order of the questions, and one that hangs, whatever its context says, costs no other's.
func TestRun(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	began := time.Now()
	got := run(t.Context(), 50*time.Millisecond, []check{
		{"hangs", file{}, func(context.Context, rows) { <-hang }},
		{"obeys", file{}, func(ctx context.Context, r rows) { <-ctx.Done(); r.warn(place{}, "", "%v", ctx.Err()) }},
		{"quick", file{}, func(_ context.Context, r rows) { r.of("one").ok("yes"); r.of("two").ok("yes") }},
	})
	if len(got) != 4 || got[0].Status != Fail || got[0].Check != "hangs" || got[1].Status != Warn || got[2].About != "one" || got[3].About != "two" {
		t.Errorf("%+v", got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestPlace(t *testing.T) {
	f := file{"g.yaml", []byte("version: 1\nprovider:\n  issuer: https://a\n  ca: x\nlisten: { cert: a }\n")}
	for key, line := range map[string]int{"provider.issuer": 3, "provider.ca": 4, "provider.secret": 3, "listen.cert": 5, "upstream_ca": 0} {
		if got := f.line(key); got != line {
			t.Errorf("%s: line %d, want %d", key, got, line)
		}
	}
	_, name, line := place{pos: "a:b.yaml:7:3"}.in(f)
	if name != "a:b.yaml" || line != 7 {
		t.Errorf("%s, %d", name, line)
	}
}

// TestRowsAreLines: what somebody else says stays in one line, and is bounded.
func TestRowsAreLines(t *testing.T) {
	var list []Row
	long := make([]byte, 5000)
	for i := range long {
		long[i] = "ä\n "[i%4]
	}
	rows{list: &list}.ok("%s", long)
	if got := list[0].Seen; len(got) > longest+8 {
		t.Errorf("%d bytes", len(got))
	}
}
