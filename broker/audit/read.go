package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Entry is one line of the log.
type Entry struct {
	Event
	// Seq counts entries through all segments, from 1.
	Seq uint64 `json:"seq"`
	// Hash is the chain's value at this entry, in hex.
	Hash string `json:"hash"`
	// Segment and Prev stand in the first entry of a segment: its number and the hash that it follows.
	Segment uint64 `json:"segment,omitempty"`
	Prev    string `json:"prev,omitempty"`
	Format  uint64 `json:"format,omitempty"`
	// Torn is how many bytes the process that took over had to cut off.
	Torn int64 `json:"torn,omitempty"`
	// Through is the last of the segments that were deleted because they were old.
	Through uint64 `json:"through,omitempty"`
	// Seal is set in checkpoints.
	Seal

	// Dir, File and Line are where it stands: the log's directory, as its reader named it, and the segment in it.
	Dir  string `json:"-"`
	File string `json:"-"`
	Line int    `json:"-"`
	// Raw is the line itself, without the newline.
	Raw []byte `json:"-"`
}

// OfTheLog reports whether the log wrote the entry of its own accord.
func (e *Entry) OfTheLog() bool {
	switch e.Kind {
	case KindDecision, KindOutcome, KindAdmin:
		return false
	default:
		return true
	}
}

// parse reads a line; it says nothing about whether the line belongs there.
func parse(line []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return Entry{}, fmt.Errorf("not an entry: %w", err)
	}
	return e, nil
}

// lines reads a segment line by line.
type lines struct {
	path string
	file *os.File
	in   *bufio.Reader
	line int   // of the line that was returned last
	at   int64 // the offset after it
}

func openLines(path string) (*lines, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &lines{path: path, file: f, in: bufio.NewReaderSize(f, maxLine)}, nil
}

func (r *lines) close() { _ = r.file.Close() }

// tornError is what is left at the end of a segment after its last newline.
type tornError struct{ bytes int64 }

func (e *tornError) Error() string { return fmt.Sprintf("%d bytes without a newline", e.bytes) }

var errLong = errors.New("the line is longer than any entry")

// next returns the next line without its newline; it is valid until the call after. At the end it
// returns io.EOF, or a *tornError when the last line has no end.
func (r *lines) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	switch {
	case err == nil:
		r.line++
		r.at += int64(len(line))
		return line[:len(line)-1], nil
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errLong
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, &tornError{int64(len(line))}
	default:
		return nil, err
	}
}

// firstEntry reads the first line of a segment.
func firstEntry(path string) (Entry, error) {
	r, err := openLines(path)
	if err != nil {
		return Entry{}, fmt.Errorf("audit: %w", err)
	}
	defer r.close()
	line, err := r.next()
	if err != nil {
		return Entry{}, fmt.Errorf("audit: %s:1: %w", path, err)
	}
	e, err := parse(line)
	if err == nil && e.Kind != KindSegment {
		err = fmt.Errorf("the first entry is %q, not %q", e.Kind, KindSegment)
	}
	if err == nil && e.Format != format {
		err = fmt.Errorf("format %d is not one that this version reads", e.Format)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("audit: %s:1: %w", path, err)
	}
	return e, nil
}

// readBounded reads a small file.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", filepath.Base(path), limit)
	}
	return content, err
}

// digestOf reads a digest from text.
func digestOf(text string) (d digest, ok bool) {
	return d, copy(d[:], text) == len(d) && len(text) == len(d) && bytes.Trim(d[:], "0123456789abcdef") == nil
}
