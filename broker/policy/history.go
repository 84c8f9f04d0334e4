package policy

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const archiveExt = ".txtar"

// history keeps the text of the last revisions: packed in memory, and as files in a directory where there
// is one. A revision is compiled again when it is asked for, which is seldom; the text is a tenth of it.
type history struct {
	dir  string // empty: memory only
	keep int

	mu   sync.Mutex
	kept []keptRevision // the oldest first
}

type keptRevision struct {
	name   string
	packed []byte
}

// add keeps src under its revision and lets go of the oldest.
func (h *history) add(name string, src source) error {
	text := src.archive()
	packed, err := pack(text)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = slices.DeleteFunc(h.kept, func(k keptRevision) bool { return k.name == name })
	h.kept = append(h.kept, keptRevision{name, packed})
	h.kept = h.kept[max(0, len(h.kept)-h.keep):]
	if h.dir == "" {
		return nil
	}
	return h.write(name, text)
}

// get returns what was kept under a revision.
func (h *history) get(name string) (source, bool) {
	h.mu.Lock()
	i := slices.IndexFunc(h.kept, func(k keptRevision) bool { return k.name == name })
	var packed []byte
	if i >= 0 {
		packed = h.kept[i].packed
	}
	h.mu.Unlock()
	if i < 0 {
		return readArchive(h.dir, name)
	}
	text, err := unpack(packed)
	return unarchive(text), err == nil
}

func (h *history) write(name string, text []byte) error {
	if err := os.MkdirAll(h.dir, 0o750); err != nil {
		return err
	}
	temp, err := os.CreateTemp(h.dir, ".tmp-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(h.dir, name+archiveExt))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return h.prune()
}

// prune deletes the oldest files. A revision that came back has been written anew, and so is young.
func (h *history) prune() error {
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), archiveExt) {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files[:max(0, len(files)-h.keep)] {
		err = errors.Join(err, os.Remove(filepath.Join(h.dir, f.Name())))
	}
	return err
}

// LoadRevision compiles a revision from a directory that an [Engine] keeps as its history, and false when
// it is not, or no longer, there.
func LoadRevision(dir, revision string) (*Snapshot, bool) {
	src, ok := readArchive(dir, revision)
	if !ok {
		return nil, false
	}
	return recompile(src, revision)
}

// recompile refuses a source that is not what its name says.
func recompile(src source, revision string) (*Snapshot, bool) {
	if src.revision() != revision {
		return nil, false
	}
	s, err := compile(src)
	return s, err == nil
}

func readArchive(dir, name string) (source, bool) {
	if dir == "" || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) {
		return source{}, false
	}
	text, err := os.ReadFile(filepath.Join(dir, name+archiveExt))
	return unarchive(text), err == nil
}

func pack(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(text)
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}

func unpack(packed []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, maxTotal+1<<20))
}
