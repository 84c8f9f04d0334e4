package audit_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
)

const firstSegment = "00000001.jsonl"

// killed returns a log whose process went without a word: the files as they are while it is open.
func killed(t testing.TB, n int) (f files, ids []string) {
	t.Helper()
	l, dir := open(t, audit.Config{})
	ids = acts(t, l, n)
	return load(t, dir), ids
}

func TestATornTailIsNotABrokenLog(t *testing.T) {
	zeros := make([]byte, 4096)
	for name, tail := range map[string][]byte{
		"half a line":                                         []byte(`{"seq":12,"time":"2026-`),
		"one byte":                                            []byte(`{`),
		"a page that never reached the disk":                  zeros,
		"a page that never did, and one that did":             append(append([]byte{}, zeros...), "x\",\"hash\":\"\"}\n{\"seq\":13}\n"...),
		"more zeros than a line is long":                      make([]byte, 1<<20),
		"a whole entry, and one that was half on the disk":    []byte("{\"seq\":12,\"ti\x00\x00\x00\x00\x00\x00\n"),
		"a line without its newline, its hash and all before": []byte(`{"seq":12,"hash":"` + strings.Repeat("0", 64) + `"}`),
	} {
		t.Run(name, func(t *testing.T) {
			f, ids := killed(t, 3)
			f[firstSegment] = append(f[firstSegment], tail...)
			dir := f.store(t)
			if !bytes.Contains(tail, []byte{0}) {
				if r := verify(t, dir); r.Broken != nil || r.TornTail != int64(len(tail)) {
					t.Errorf("before the restart: broken %v, torn tail %d, want %d", r.Broken, r.TornTail, len(tail))
				}
			}
			l, _ := open(t, audit.Config{Dir: dir})
			more := acts(t, l, 1)
			mustClose(t, l)
			r := mustClean(t, dir)
			if r.TornBytes != int64(len(tail)) || r.Restarts != 2 || r.Outcomes != 4 {
				t.Errorf("after the restart: %d bytes cut, want %d; %d restarts, %d outcomes", r.TornBytes, len(tail), r.Restarts, r.Outcomes)
			}
			for _, id := range append(ids, more...) {
				if e, err := audit.Find(dir, id); err != nil || len(e) != 2 {
					t.Errorf("decision %s has %d entries: %v", id, len(e), err)
				}
			}
		})
	}
}

// What a checkpoint covers is never cut, whatever it looks like.
func TestNothingThatIsSignedIsCut(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 3)
	mustClose(t, l)
	for name, change := range map[string]func([]byte) []byte{
		"half a line":  func(b []byte) []byte { return b[:len(b)-30] },
		"zeros":        func(b []byte) []byte { clear(b[len(b)-900:]); return b },
		"zeros inside": func(b []byte) []byte { clear(b[len(b)/2 : len(b)/2+9]); return b },
		"no newline":   func(b []byte) []byte { return b[:len(b)-1] },
	} {
		f := load(t, dir)
		f[firstSegment] = change(f[firstSegment])
		copied := f.store(t)
		if again, err := audit.Open(audit.Config{Dir: copied, Reserve: -1}); err == nil {
			_ = again.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), "audit verify") {
			t.Errorf("%s: the refusal does not say what to do: %v", name, err)
		}
		if b := verify(t, copied).Broken; b == nil {
			t.Errorf("%s: Verify found nothing", name)
		}
	}
}

// A kill between the steps of making files leaves files that the next start can deal with.
func TestLeftoversAreCleanedUp(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 1)
	mustClose(t, l)
	for _, name := range []string{"head.new", "00000002.jsonl.new"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, _ := open(t, audit.Config{Dir: dir})
	acts(t, again, 1)
	mustClose(t, again)
	mustClean(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// An Open that ends anywhere between its first file and its first checkpoint leaves a directory that the
// next one goes on with.
func TestAnOpenThatWasKilledEarlyIsGoneOnWith(t *testing.T) {
	s, public := newRemoteSigner(t)
	calls := 0
	failSecond := func(context.Context) error {
		if calls++; calls == 2 {
			return errors.New("killed")
		}
		return nil
	}
	s.before.Store(&failSecond)
	dir := t.TempDir()
	if l, err := audit.Open(audit.Config{Dir: dir, Signer: s}); err == nil {
		_ = l.Close()
		t.Fatal("opened without a checkpoint")
	}
	early := load(t, dir)
	lines := early.lines(firstSegment)
	for name, f := range map[string]files{
		"nothing":                  {},
		"a head":                   {"head": early["head"]},
		"a head and a header":      {"head": early["head"], firstSegment: lines[0]},
		"all but the checkpoint":   early,
		"all but half a first act": {"head": early["head"], firstSegment: append(early[firstSegment], `{"seq":3,`...)},
	} {
		l, fresh := open(t, audit.Config{Dir: f.store(t), Signer: s})
		acts(t, l, 1)
		mustClose(t, l)
		if r, err := audit.Verify(fresh, public); err != nil || r.Broken != nil || r.Outcomes != 1 {
			t.Errorf("%s: %v, %v", name, r.Broken, err)
		}
	}
}

// The same with the directory's own key, of which the public half is written first.
func TestAKeyThatWasHalfMadeIsMadeAgain(t *testing.T) {
	_, dir := open(t, audit.Config{})
	made := load(t, dir)
	l, fresh := open(t, audit.Config{Dir: files{"key.pub": made["key.pub"]}.store(t)})
	acts(t, l, 1)
	mustClose(t, l)
	mustClean(t, fresh)
}
