package audit_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/intercom-broker/intercom/broker/audit"
)

// Every byte of a closed log counts, as does every line and its place.
func TestEveryByteAndEveryLineCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the log some thousand times")
	}
	l, dir := open(t, audit.Config{})
	acts(t, l, 1)
	mustClose(t, l)
	log := load(t, dir)
	copied := log.store(t)
	mustClean(t, copied)
	noticed := func(what string, at int) {
		t.Helper()
		if verify(t, copied).Broken == nil {
			t.Errorf("%s %d: not noticed", what, at)
		}
	}
	for _, name := range []string{firstSegment, "head"} {
		content := log[name]
		for i := range content {
			flip(t, copied, name, content, i)
			noticed(name+" byte", i)
		}
		put(t, copied, name, content)
	}
	lines := log.lines(firstSegment)
	lines = lines[:len(lines)-1] // what follows the last newline
	for i := range lines {
		put(t, copied, firstSegment, slices.Concat(slices.Delete(slices.Clone(lines), i, i+1)...))
		noticed("without line", i+1)
		put(t, copied, firstSegment, slices.Concat(lines[:i]...))
		noticed("ending before line", i+1)
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			put(t, copied, firstSegment, slices.Concat(swapped...))
			noticed("with another line exchanged for", i+1)
		}
	}
}

// flip changes one bit of byte i, and sets the byte before it right again.
func flip(t *testing.T, dir, name string, content []byte, i int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	edited := []byte{content[max(i-1, 0)], content[i] ^ 1<<(i%8)}
	if i == 0 {
		edited = edited[1:]
	}
	if _, err := f.WriteAt(edited, int64(max(i-1, 0))); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}
