package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

// rechain computes the chain anew over all segments, as a forger would who knows how and has no key.
func (f files) rechain() {
	prev := strings.Repeat("0", 64)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		var out []byte
		for line := range bytes.Lines(f[name]) {
			line = prevForm.ReplaceAll(line, []byte(`"prev":"`+prev+`"`))
			body := line[:bytes.LastIndex(line, []byte(`,"hash":"`))]
			sum := sha256.Sum256(append([]byte(prev), body...))
			prev = hex.EncodeToString(sum[:])
			out = fmt.Appendf(out, `%s,"hash":"%s"}`+"\n", body, prev)
		}
		f[name] = out
	}
}

var prevForm = regexp.MustCompile(`"prev":"[0-9a-f]{64}"`)

// forge changes the first segment's first event and computes the chain anew.
func forge(t *testing.T, dir string) files {
	t.Helper()
	f := load(t, dir)
	before := slices.Clone(f[firstSegment])
	f.rechain()
	if !bytes.Equal(before, f[firstSegment]) {
		t.Fatal("the forger does not compute the chain as the log does")
	}
	f[firstSegment] = bytes.Replace(f[firstSegment], []byte(`"pid":`), []byte(`"pid":9`), 1) // line 2
	f.rechain()
	return f
}

// A chain that was computed anew meets the first signature over the old one.
func TestAForgedChainMeetsASignature(t *testing.T) {
	dir, _ := threeSegments(t)
	want := func(f files, b audit.Breach, file string, line int) {
		t.Helper()
		if got := verify(t, f.store(t)).Broken; got == nil || got.Breach != b || got.File != file || got.Line != line {
			t.Errorf("got %v; want %s at %s:%d", got, b, file, line)
		}
	}
	f := forge(t, dir)
	want(f, audit.Changed, firstSegment, 3) // the first checkpoint

	// The checkpoint is made to fit, and then its signature does not.
	root := regexp.MustCompile(`"hash":"([0-9a-f]{64})"`).FindSubmatch(f.lines(firstSegment)[1])[1]
	f[firstSegment] = regexp.MustCompile(`"root":"[0-9a-f]{64}"`).ReplaceAll(f[firstSegment], []byte(`"root":"`+string(root)+`"`))
	f.rechain()
	want(f, audit.Forged, firstSegment, 3)

	// All checkpoints are taken out, and the head is still there.
	f = load(t, dir)
	for name := range f {
		f[name] = bytes.ReplaceAll(f[name], []byte(`"kind":"checkpoint"`), []byte(`"kind":"admin"`))
	}
	f["head"] = load(t, dir)["head"]
	f.rechain()
	if b := verify(t, f.store(t)).Broken; b == nil || b.Breach != audit.Changed || b.File != "00000004.jsonl" {
		t.Errorf("without checkpoints: %v", b)
	}
}

// Nobody excuses missing segments but the log itself, under its signature.
func TestAForgedPruneExcusesNothing(t *testing.T) {
	dir, _ := threeSegments(t)
	f := load(t, dir)
	seq := verify(t, dir).Last + 1
	f["00000004.jsonl"] = fmt.Appendf(f["00000004.jsonl"],
		`{"seq":%d,"time":"2026-01-01T00:00:00Z","kind":"prune","through":1,"hash":"%064d"}`+"\n", seq, 0)
	f.rechain()
	if b := verify(t, f.store(t)).Broken; b != nil {
		t.Fatalf("the forged entry does not follow: %v", b)
	}
	delete(f, firstSegment)
	if b := verify(t, f.store(t)).Broken; b == nil || b.Breach != audit.Removed {
		t.Errorf("a segment that a forged entry excuses: %v", b)
	}
}

// Before the first file goes, the entry that says so is signed.
func TestNothingIsDeletedWithoutASignature(t *testing.T) {
	c := newClock()
	s, _ := newRemoteSigner(t)
	l, dir := open(t, audit.Config{
		Now: c.now, SegmentAge: time.Hour, Keep: 3 * time.Hour, CheckpointEvery: 2 * time.Millisecond, Signer: s,
	})
	for n := 2; n <= 3; n++ {
		acts(t, l, 1)
		c.advance(time.Hour)
		awaitFile(t, filepath.Join(dir, fmt.Sprintf("%08d.jsonl", n)))
	}
	fails := func(context.Context) error { return errors.New("the signer is away") }
	s.before.Store(&fails)
	c.advance(2 * time.Hour)
	eventually(t, "the keeper tries", func() bool {
		for _, e := range all(t, dir, audit.TailConfig{Own: true, Last: 3}) {
			if e.Kind == audit.KindPrune {
				return true
			}
		}
		return false
	})
	time.Sleep(20 * time.Millisecond) // what must not happen has no event to wait for
	if got := segments(t, dir); got[0] != firstSegment {
		t.Errorf("deleted without a signature; what is left: %v", got)
	}
	s.before.Store(nil)
	eventually(t, "it is deleted with one", func() bool { return segments(t, dir)[0] != firstSegment })
	mustClose(t, l)
}
