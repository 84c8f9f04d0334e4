package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// Breach is a sort of change that Verify finds.
type Breach string

// The breaches.
const (
	Changed   Breach = "changed"   // an entry, or the chain that leads to it, is not what it was
	Removed   Breach = "removed"   // entries or whole segments are missing from between others
	Reordered Breach = "reordered" // an entry stands where another belongs
	Truncated Breach = "truncated" // the end that a checkpoint signed is missing
	Forged    Breach = "forged"    // a checkpoint does not bear the key's signature
)

// Broken is the first place where the log is not what was written.
type Broken struct {
	File   string // the file's name inside the directory
	Line   int
	Seq    uint64 // of the entry that belongs there
	Breach Breach
	What   string // one sentence
}

// Error implements error.
func (b *Broken) Error() string {
	return fmt.Sprintf("%s:%d: %s: %s", b.File, b.Line, b.Breach, b.What)
}

// Unknown is an allowed decision without an outcome: the act is still going on, or the process ended
// before it did.
type Unknown struct {
	Decision string
	File     string
	Line     int
	Time     time.Time
}

// maxUnknown is how many unknown decisions a Report lists; it counts all of them.
const maxUnknown = 1000

// Report is what Verify found.
type Report struct {
	Segments    int
	First, Last uint64 // the numbers of the first and the last entry
	From, To    time.Time
	Decisions   int // allowed and denied
	Denied      int
	Outcomes    int
	Admin       int
	Checkpoints int
	// Covered is the last entry under a valid signature. What follows it is held by the chain alone.
	Covered uint64
	// Key is what the signatures were held against, and Outside whether it was given from outside.
	Key     ed25519.PublicKey
	Outside bool
	// UnknownCount is the number of allowed decisions without an outcome; Unknown lists the first of them.
	UnknownCount int
	Unknown      []Unknown
	// Restarts is how often a process took over, and TornBytes what was cut off then.
	Restarts  int
	TornBytes int64
	// TornTail is the length of a last line without its end: an entry that nobody was told is recorded.
	// The next start cuts it off; a log that is being written may have one for a moment.
	TornTail int64
	// Broken is nil when every entry is what was written.
	Broken *Broken
}

// Verify reads the whole log in dir and holds it against its chain and its signatures. A nil key means
// the public half beside the log, which proves nothing against somebody who can write there. What is
// wrong with the log stands in the Report; an error means that it could not be read.
//
// The log may be in use.
func Verify(dir string, key ed25519.PublicKey) (Report, error) {
	v := &verifier{dir: dir, at: newChain(0, origin()), open: map[string]Unknown{}}
	v.report.Key, v.report.Outside = key, key != nil
	if key == nil {
		var err error
		if v.report.Key, err = ReadPublicKey(filepath.Join(dir, publicFile)); err != nil {
			return v.report, err
		}
	}
	if err := v.run(); err != nil {
		return v.report, err
	}
	v.listUnknown()
	return v.report, nil
}

// verifier is one walk through a log.
type verifier struct {
	dir    string
	report Report
	head   *Entry
	at     chain
	recent []digest // the hashes of the last maxCovered entries
	open   map[string]Unknown
	pruned []Entry
	first  uint64 // the number of the first segment there is
	file   string
	line   int
}

func (v *verifier) run() error {
	// The head is read before the segments: a log that grows meanwhile only gets longer than it says.
	head, headErr := readHead(v.dir)
	segments, err := segmentsOf(v.dir)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	v.head, v.file, v.line = head, headFile, 1
	switch {
	case headErr != nil:
		v.breach(Removed, "the signed head cannot be read: %v", headErr)
		return nil
	case !head.signedBy(v.report.Key):
		v.breach(Forged, "the head is not signed by the key")
		return nil
	case !isHead(head):
		v.breach(Changed, "the head is not a checkpoint")
		return nil
	}
	if err := v.segments(segments); err != nil {
		return err
	}
	v.checkEnds()
	return nil
}

func (v *verifier) segments(segments []uint64) error {
	for i, n := range segments {
		v.file, v.line = segmentName(n), 1
		if i == 0 {
			v.first = n
		} else if want := segments[i-1] + 1; n != want {
			v.breach(Removed, "%s is missing", segmentName(want))
		}
		if v.report.Broken != nil {
			return nil
		}
		if err := v.segment(n, i == len(segments)-1); err != nil {
			return err
		}
		v.report.Segments++
	}
	return nil
}

// segment reads one segment up to its end or the first breach.
func (v *verifier) segment(number uint64, last bool) error {
	r, err := openLines(filepath.Join(v.dir, v.file))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer r.close()
	for v.report.Broken == nil {
		line, err := r.next()
		v.line = r.line
		torn := (*tornError)(nil)
		switch {
		case err == nil:
			v.entry(line, number)
		case errors.Is(err, io.EOF):
			if r.line == 0 {
				v.line = 1
				v.breach(Truncated, "the segment is empty")
			}
			return nil
		case errors.As(err, &torn) && last:
			v.report.TornTail = torn.bytes
			return nil
		case errors.As(err, &torn) || errors.Is(err, errLong):
			v.line++
			v.breach(Changed, "%v", err)
		default:
			return fmt.Errorf("audit: %s:%d: %w", v.file, v.line+1, err)
		}
	}
	return nil
}

// entry holds one line against the chain and reads what it says.
func (v *verifier) entry(line []byte, segment uint64) {
	e, err := parse(line)
	if err != nil {
		v.breach(Changed, "%v", err)
		return
	}
	if v.at.seq == 0 && v.line == 1 && v.first == segment {
		v.begin(&e)
	}
	if !v.at.follow(line) {
		v.diagnose(&e)
		return
	}
	if e.Seq != v.at.seq {
		v.breach(Changed, "entry %d calls itself %d", v.at.seq, e.Seq)
		return
	}
	v.checkFirst(&e, segment)
	v.remember()
	v.matchHead(&e, line)
	v.count(&e)
}

// begin takes up the chain at the first segment there is. One that is not the very first must be
// excused by a later entry; checkEnds asks for it.
func (v *verifier) begin(e *Entry) {
	prev, ok := digestOf(e.Prev)
	if v.first == 1 || !ok || e.Seq == 0 {
		return // it has to follow the origin, and does not if it is not the first
	}
	v.at = newChain(e.Seq-1, prev)
}

// checkFirst holds the first line of a segment, and no other, to be its header.
func (v *verifier) checkFirst(e *Entry, segment uint64) {
	header := e.Kind == KindSegment
	switch {
	case header != (v.line == 1):
		v.breach(Reordered, "an entry of kind %q stands here", e.Kind)
	case header && e.Segment != segment:
		v.breach(Reordered, "this is segment %d under another name", e.Segment)
	case header && e.Format != format:
		v.breach(Changed, "format %d is not one that this version reads", e.Format)
	}
	if v.report.First == 0 {
		v.report.First, v.report.From = e.Seq, e.Time
	}
	v.report.Last, v.report.To = e.Seq, e.Time
}

func (v *verifier) breach(b Breach, format string, args ...any) {
	if v.report.Broken == nil {
		v.report.Broken = &Broken{File: v.file, Line: v.line, Seq: v.at.seq + 1, Breach: b, What: fmt.Sprintf(format, args...)}
	}
}
