package audit_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
)

// closed is a small log of two segments that was closed in order.
func closed(t testing.TB) files {
	t.Helper()
	l, dir := open(t, audit.Config{SegmentBytes: 8 << 10})
	acts(t, l, 1)
	record(t, l, big())
	awaitFile(t, filepath.Join(dir, "00000002.jsonl"))
	acts(t, l, 1)
	mustClose(t, l)
	return load(t, dir)
}

// change is one edit of a file: at a place, so many bytes are replaced by others.
func change(content []byte, at, remove uint16, put []byte) []byte {
	from := int(at) % (len(content) + 1)
	to := min(from+int(remove), len(content))
	return slices.Concat(content[:from], put, content[to:])
}

// FuzzVerifyCatchesChange: no edit of a closed log goes unnoticed, and none makes a reader panic.
func FuzzVerifyCatchesChange(f *testing.F) {
	log := closed(f)
	names := []string{"00000001.jsonl", "00000002.jsonl", "head"}
	f.Add(uint8(0), uint16(5), uint16(1), []byte("2"))        // a number
	f.Add(uint8(1), uint16(0), uint16(0), []byte(" "))        // a space before
	f.Add(uint8(1), uint16(65535), uint16(1), []byte("\n\n")) // an empty line after
	f.Add(uint8(1), uint16(len(log[names[1]])-1), uint16(1), []byte(""))
	f.Add(uint8(0), uint16(len(log[names[0]])), uint16(0), []byte("{"))
	f.Add(uint8(2), uint16(20), uint16(3), []byte("999"))
	f.Add(uint8(0), uint16(0), uint16(65535), []byte(""))
	f.Add(uint8(1), uint16(0), uint16(65535), log[names[0]])
	f.Add(uint8(2), uint16(0), uint16(65535), []byte(`{"seq":0,"covers":0,"root":"","key":"","sig":""}`))
	f.Fuzz(func(t *testing.T, which uint8, at, remove uint16, put []byte) {
		name := names[int(which)%len(names)]
		changed := change(log[name], at, remove, put)
		if bytes.Equal(changed, log[name]) {
			return
		}
		edited := maps.Clone(log)
		edited[name] = changed
		dir := edited.store(t)
		r, err := audit.Verify(dir, nil)
		if err != nil {
			t.Fatalf("Verify cannot read: %v", err)
		}
		if r.Broken == nil && r.TornTail == 0 {
			t.Errorf("%s changed from\n%s\nto\n%s\nand Verify says nothing", name, log[name], changed)
		}
		readAll(t, dir)
	})
}

// readAll runs the readers that do not verify, and Open, over a log that may be anything.
func readAll(t *testing.T, dir string) {
	t.Helper()
	for _, err := range audit.Tail(t.Context(), dir, audit.TailConfig{Last: 2}) {
		if err != nil {
			break
		}
	}
	_, _ = audit.Find(dir, "d-1")
	if l, err := audit.Open(audit.Config{Dir: dir, Reserve: -1}); err == nil {
		if err := l.Close(); err != nil {
			t.Errorf("closing what was opened: %v", err)
		}
	}
}

// FuzzVerifyNeverPanics reads segments and heads of any content.
func FuzzVerifyNeverPanics(f *testing.F) {
	log := closed(f)
	f.Add(log["00000001.jsonl"], log["head"])
	f.Add([]byte("\n"), []byte("{}"))
	f.Add([]byte(`{"seq":18446744073709551615,"kind":"segment","segment":7,"format":1,"prev":"0","hash":""}`), []byte(`{"seq":1e99}`))
	f.Fuzz(func(t *testing.T, segment, head []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{"00000007.jsonl": segment, "head": head, "key": log["key"], "key.pub": log["key.pub"]} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := audit.Verify(dir, nil); err != nil || r.Broken == nil {
			t.Errorf("segment 7 alone was accepted: %+v, %v", r, err)
		}
		readAll(t, dir)
	})
}
