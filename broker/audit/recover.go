package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// recovered is where a log goes on.
type recovered struct {
	segment *segment
	last    chain
	torn    int64
}

// recoverLast follows the chain through the last segment, cuts off what a killed process or a power
// failure left unfinished, and opens it for more.
func recoverLast(dir string, segments []uint64) (*recovered, error) {
	for i, n := range segments {
		if n != segments[0]+uint64(i) {
			return nil, fmt.Errorf("audit: %s is missing in %s: the log was changed; `audit verify` says more", segmentName(segments[0]+uint64(i)), dir)
		}
	}
	number := segments[len(segments)-1]
	path := filepath.Join(dir, segmentName(number))
	w, err := walk(path)
	if err != nil {
		return nil, err
	}
	if err := w.matchHead(dir); err != nil {
		return nil, err
	}
	if err := w.cut(path); err != nil {
		return nil, err
	}
	file, err := openSegment(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	s := &segment{file: file, path: path, number: number, size: w.end, began: w.began, events: w.events}
	return &recovered{segment: s, last: w.at, torn: w.size - w.end}, nil
}

// walked is what a walk through a segment found.
type walked struct {
	path      string
	at        chain // after the last entry that follows
	began     time.Time
	events    uint64
	end, size int64 // where the last good entry ends, and where the file does
	line      int   // of the last good entry
	first     uint64
	hashes    []digest // of the entries from first on
}

// walk follows the chain through one segment up to its end, or to the first line that does not follow.
func walk(path string) (*walked, error) {
	head, err := firstEntry(path)
	if err != nil {
		return nil, err
	}
	prev, ok := digestOf(head.Prev)
	if !ok || head.Seq == 0 {
		return nil, fmt.Errorf("audit: %s:1: the first entry is damaged", path)
	}
	r, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer r.close()
	w := &walked{path: path, at: newChain(head.Seq-1, prev), began: head.Time, first: head.Seq}
	if err := w.follow(r); err != nil {
		return nil, err
	}
	info, err := r.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	w.size = info.Size()
	return w, nil
}

func (w *walked) follow(r *lines) error {
	for {
		line, err := r.next()
		if torn := (*tornError)(nil); errors.Is(err, io.EOF) || errors.As(err, &torn) || errors.Is(err, errLong) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("audit: %s: %w", w.path, err)
		}
		if !w.at.follow(line) {
			return nil
		}
		w.end, w.line = r.at, r.line
		w.hashes = append(w.hashes, w.at.hash)
		if isEvent(line) {
			w.events++
		}
	}
}

// isEvent is OfTheLog without parsing.
func isEvent(line []byte) bool {
	for _, k := range []Kind{KindDecision, KindOutcome, KindAdmin} {
		if bytes.Contains(line, []byte(`,"kind":"`+string(k)+`"`)) {
			return true
		}
	}
	return false
}

// matchHead holds the segment against the last signed checkpoint.
func (w *walked) matchHead(dir string) error {
	head, err := readHead(dir)
	if err != nil {
		return fmt.Errorf("%w (a log without its signed head is not gone on with; move the directory away to begin a new one)", err)
	}
	switch {
	case head.Seq > w.at.seq:
		return fmt.Errorf("audit: %s:%d: the log ends at entry %d and its signed head is entry %d: the end was removed; `audit verify` says more",
			w.path, w.line, w.at.seq, head.Seq)
	case !w.has(head.Covers, head.Root), !w.has(head.Seq, head.Hash):
		return fmt.Errorf("audit: %s: entry %d is not the one that the signed head covers: the log was changed; `audit verify` says more", w.path, head.Covers)
	}
	return nil
}

// has reports whether entry seq has that hash, or stands in an earlier segment.
func (w *walked) has(seq uint64, hash string) bool {
	if seq < w.first {
		return true
	}
	at := seq - w.first
	return at < uint64(len(w.hashes)) && w.hashes[at].String() == hash
}

// cut removes what follows the last good entry when it is what a killed process or a power failure
// leaves: one line without its end, or pages that were never written and read as zeros. Everything
// before it was held against the signed head, so nothing is cut that a checkpoint covers. Anything else
// was put there, and is left for `audit verify` to show.
func (w *walked) cut(path string) error {
	if w.end == w.size {
		return nil
	}
	rest, err := readFrom(path, w.end)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if bytes.IndexByte(rest, '\n') >= 0 && bytes.IndexByte(rest, 0) < 0 {
		return fmt.Errorf("audit: %s:%d: the entry does not follow the one before it: the log was changed; `audit verify` says more", path, w.line+1)
	}
	f, err := openSegment(path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := errors.Join(f.Truncate(w.end), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

func readFrom(path string, offset int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, offset, 1<<62))
}
