package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/audit"
)

// files is a log as a map from name to content.
type files map[string][]byte

func load(t testing.TB, dir string) files {
	t.Helper()
	out := files{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".jsonl") || n.Name() == "head" || n.Name() == "key.pub" || n.Name() == "key" {
			if out[n.Name()], err = os.ReadFile(filepath.Join(dir, n.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func (f files) store(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range f {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (f files) lines(name string) [][]byte { return bytes.SplitAfter(f[name], []byte("\n")) }

func (f files) setLines(name string, lines [][]byte) { f[name] = bytes.Join(lines, nil) }

// threeSegments writes a log of three whole segments and the beginning of a fourth, and closes it.
func threeSegments(t testing.TB) (dir string, ids []string) {
	t.Helper()
	l, dir := open(t, audit.Config{SegmentBytes: 8 << 10})
	for n := 1; n <= 3; n++ {
		ids = append(ids, acts(t, l, 4)...)
		record(t, l, big()) // and only this one ends the segment
		awaitFile(t, filepath.Join(dir, fmt.Sprintf("%08d.jsonl", n+1)))
	}
	mustClose(t, l)
	return dir, ids
}

// big is an event of more than 8 KiB.
func big() audit.Event {
	long := strings.Repeat("x", audit.MaxString)
	return audit.Event{Kind: audit.KindAdmin, Actors: slices.Repeat([]string{long}, audit.MaxListed), Why: long, Subject: long}
}

func awaitFile(t testing.TB, path string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if _, err := os.Stat(path); err == nil {
			return
		} else if !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", path, err)
		}
		time.Sleep(time.Millisecond)
	}
}

const middle = "00000002.jsonl"

// tampering is a change to a log of three segments, and what Verify has to say of it.
type tampering struct {
	name   string
	change func(f files)
	breach audit.Breach
	file   string
	line   int
}

func tamperings() []tampering {
	edit := func(name string, do func([][]byte) [][]byte) func(files) {
		return func(f files) { f.setLines(name, do(f.lines(name))) }
	}
	return []tampering{
		{"a subject replaced", edit(middle, func(l [][]byte) [][]byte {
			l[1] = bytes.Replace(l[1], []byte("orders"), []byte("0rders"), 1)
			return l
		}), audit.Changed, middle, 2},
		{"a space added", edit(middle, func(l [][]byte) [][]byte {
			l[2] = bytes.Replace(l[2], []byte(`,"kind"`), []byte(`, "kind"`), 1)
			return l
		}), audit.Changed, middle, 3},
		{"a hash in capitals", edit(middle, func(l [][]byte) [][]byte {
			at := bytes.LastIndex(l[2], []byte(`"hash":"`)) + 8
			copy(l[2][at:], bytes.ToUpper(l[2][at:at+64]))
			return l
		}), audit.Changed, middle, 3},
		{"not JSON", edit(middle, func(l [][]byte) [][]byte { l[2] = []byte("{}}\n"); return l }), audit.Changed, middle, 3},
		{"a line removed", edit(middle, func(l [][]byte) [][]byte { return slices.Delete(l, 2, 3) }), audit.Removed, middle, 3},
		{"two lines removed", edit(middle, func(l [][]byte) [][]byte { return slices.Delete(l, 3, 5) }), audit.Removed, middle, 4},
		{"two lines exchanged", edit(middle, func(l [][]byte) [][]byte { l[3], l[5] = l[5], l[3]; return l }), audit.Reordered, middle, 4},
		{"a line repeated", edit(middle, func(l [][]byte) [][]byte { return slices.Insert(l, 4, l[3]) }), audit.Reordered, middle, 5},
		{"the header removed", edit(middle, func(l [][]byte) [][]byte { return l[1:] }), audit.Removed, middle, 1},
		{"a segment's end removed", edit(middle, func(l [][]byte) [][]byte { return l[:4] }), audit.Removed, "00000003.jsonl", 1},
		{"a segment's end without its newline", func(f files) { f[middle] = bytes.TrimSuffix(f[middle], []byte("\n")) },
			audit.Changed, middle, 0},
		{"a segment emptied", func(f files) { f[middle] = nil }, audit.Truncated, middle, 1},
		{"a segment removed", func(f files) { delete(f, middle) }, audit.Removed, "00000003.jsonl", 1},
		{"the first segment removed", func(f files) { delete(f, "00000001.jsonl") }, audit.Removed, middle, 1},
		{"two segments exchanged", func(f files) { f[middle], f["00000003.jsonl"] = f["00000003.jsonl"], f[middle] },
			audit.Reordered, middle, 1},
		{"the log's end removed", edit("00000004.jsonl", func(l [][]byte) [][]byte { return l[:1] }), audit.Truncated, "00000004.jsonl", 2},
		{"the last segment removed", func(f files) { delete(f, "00000004.jsonl") }, audit.Truncated, "00000003.jsonl", 0},
		{"all segments removed", func(f files) {
			maps.DeleteFunc(f, func(name string, _ []byte) bool { return strings.HasSuffix(name, ".jsonl") })
		}, audit.Truncated, "head", 0},
		{"the head removed", func(f files) { delete(f, "head") }, audit.Removed, "head", 1},
		{"the head's number changed", func(f files) { f["head"] = bytes.Replace(f["head"], []byte(`"covers":`), []byte(`"covers":1`), 1) },
			audit.Forged, "head", 1},
		{"the head without its number", func(f files) { f["head"] = bytes.Replace(f["head"], []byte(`"seq"`), []byte(`"0"`), 1) },
			audit.Changed, "head", 1},
		{"the head of another time", func(f files) { f["head"] = bytes.Replace(f["head"], []byte(`:"20`), []byte(`:"19`), 1) },
			audit.Changed, "00000004.jsonl", 0},
		{"the head not JSON", func(f files) { f["head"] = []byte("x") }, audit.Removed, "head", 1},
	}
}

func TestVerifyNamesTheFirstBrokenEntry(t *testing.T) {
	dir, _ := threeSegments(t)
	mustClean(t, dir)
	for _, c := range tamperings() {
		t.Run(c.name, func(t *testing.T) {
			f := load(t, dir)
			c.change(f)
			b := verify(t, f.store(t)).Broken
			if b == nil {
				t.Fatal("the change was not noticed")
			}
			if b.Breach != c.breach || b.File != c.file || c.line != 0 && b.Line != c.line {
				t.Errorf("got %v; want %s at %s:%d", b, c.breach, c.file, c.line)
			}
		})
	}
}

// Nor does a process go on with a log of which the last segment, the head or the key is not right.
func TestOpenRefusesABrokenLog(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 4)
	mustClose(t, l)
	const first = "00000001.jsonl"
	for name, change := range map[string]func(f files){
		"entry changed": func(f files) { f[first] = bytes.Replace(f[first], []byte("orders"), []byte("0rders"), 1) },
		"end removed":   func(f files) { f.setLines(first, f.lines(first)[:4]) },
		"line appended": func(f files) { f[first] = append(f[first], "{\"seq\":99,\"hash\":\"\"}\n"...) },
		"no head":       func(f files) { delete(f, "head") },
		"no key":        func(f files) { delete(f, "key") },
		"key damaged":   func(f files) { f["key"] = []byte("x") },
		"no segments":   func(f files) { delete(f, first) },
		"a gap":         func(f files) { f["00000003.jsonl"] = f[first] },
		"no header":     func(f files) { f.setLines(first, f.lines(first)[1:]) },
	} {
		f := load(t, dir)
		change(f)
		broken := f.store(t)
		if l, err := audit.Open(audit.Config{Dir: broken, Reserve: -1}); err == nil {
			_ = l.Close()
			t.Errorf("%s: the log was opened", name)
		}
		if got := load(t, broken); !slices.EqualFunc(slices.Sorted(maps.Keys(f)), slices.Sorted(maps.Keys(got)),
			func(a, b string) bool { return a == b && bytes.Equal(f[a], got[b]) }) {
			t.Errorf("%s: the refused Open changed the evidence", name)
		}
	}
}

// Somebody who can write the directory can write a chain of his own, and a key. The key from outside
// tells.
func TestVerifyWithAKeyFromOutside(t *testing.T) {
	l, dir := open(t, audit.Config{})
	acts(t, l, 2)
	mustClose(t, l)
	key, err := audit.ReadPublicKey(filepath.Join(dir, "key.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(dir, key); err != nil || r.Broken != nil || !r.Outside {
		t.Errorf("with the right key: %+v, %v", r.Broken, err)
	}
	forged, forgedDir := open(t, audit.Config{})
	acts(t, forged, 2)
	mustClose(t, forged)
	mustClean(t, forgedDir)
	r, err := audit.Verify(forgedDir, key)
	if err != nil || r.Broken == nil || r.Broken.Breach != audit.Forged {
		t.Errorf("another log under our key: %v, %v", r.Broken, err)
	}
	other, _, _ := ed25519.GenerateKey(nil)
	if r, err = audit.Verify(dir, other); err != nil || r.Broken == nil || r.Broken.Breach != audit.Forged {
		t.Errorf("our log under another key: %v, %v", r.Broken, err)
	}
}

func TestReadPublicKeyRefuses(t *testing.T) {
	_, dir := open(t, audit.Config{})
	for _, path := range []string{filepath.Join(dir, "key"), filepath.Join(dir, "head"), filepath.Join(dir, "nothing")} {
		if _, err := audit.ReadPublicKey(path); err == nil {
			t.Errorf("read a public key from %s", filepath.Base(path))
		}
	}
}
