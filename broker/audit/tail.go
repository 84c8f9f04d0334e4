package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"time"
)

// TailConfig says which entries Tail yields.
type TailConfig struct {
	// Follow waits for more at the end, until the context ends.
	Follow bool
	// From is the number of the first entry; zero means the beginning.
	From uint64
	// Last begins so many entries before the end and overrides From; zero does not.
	Last int
	// Own yields the log's own entries too, such as checkpoints.
	Own bool
	// Poll is how often a follower looks; zero means 100 ms.
	Poll time.Duration
}

// Tail yields the entries of the log in dir, in order, through all its segments. It holds nothing
// against the chain; that is Verify's. After an error it ends.
func Tail(ctx context.Context, dir string, cfg TailConfig) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		t := &tail{dir: dir, cfg: cfg, yield: yield}
		if err := t.run(ctx); err != nil && !errors.Is(err, errStop) {
			yield(Entry{}, err)
		}
	}
}

// errStop ends a walk whose reader wants no more.
var errStop = errors.New("stop")

type tail struct {
	dir   string
	cfg   TailConfig
	yield func(Entry, error) bool
}

func (t *tail) run(ctx context.Context) error {
	if t.cfg.Last > 0 {
		from, err := startOf(t.dir, t.cfg.Last, t.cfg.Own)
		if err != nil {
			return err
		}
		t.cfg.From = from
	}
	number, err := segmentWith(t.dir, t.cfg.From)
	for err == nil && number > 0 {
		var next uint64
		if next, err = t.segment(ctx, number); t.cfg.Follow && errors.Is(err, os.ErrNotExist) {
			next, err = t.lost(ctx, number)
		}
		number = next
	}
	return err
}

// lost waits for a segment that was listed and is not there: it is put back, or it was deleted for its
// age and the next one there is follows.
func (t *tail) lost(ctx context.Context, number uint64) (next uint64, err error) {
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	next, err = segmentAfter(t.dir, number-1)
	return max(next, number), err
}

// segment yields one segment's entries and returns the number of the next, or zero at the end.
func (t *tail) segment(ctx context.Context, number uint64) (next uint64, err error) {
	r, err := openLines(filepath.Join(t.dir, segmentName(number)))
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	defer func() { r.close() }()
	for {
		// Which segment is next is asked before this one is read to its end: what is written to this one
		// is written before the next begins.
		next, err := segmentAfter(t.dir, number)
		if err != nil {
			return 0, err
		}
		if err := t.rest(r); err != nil {
			return 0, err
		}
		if next > 0 || !t.cfg.Follow {
			return next, nil
		}
		if err := t.wait(ctx); err != nil {
			return 0, err
		}
		if err := r.again(); err != nil {
			return 0, fmt.Errorf("audit: %w", err)
		}
	}
}

// rest yields what there is of a segment up to its last whole line.
func (t *tail) rest(r *lines) error {
	for {
		line, err := r.next()
		torn := (*tornError)(nil)
		if errors.Is(err, io.EOF) || errors.As(err, &torn) {
			return nil
		}
		var e Entry
		if err == nil {
			e, err = parse(line)
		}
		if err != nil {
			return fmt.Errorf("audit: %s:%d: %w", r.path, r.line, err)
		}
		if e.Seq < t.cfg.From || e.OfTheLog() && !t.cfg.Own {
			continue
		}
		e.Dir, e.File, e.Line, e.Raw = t.dir, filepath.Base(r.path), r.line, append([]byte(nil), line...)
		if !t.yield(e, nil) {
			return errStop
		}
	}
}

func (t *tail) wait(ctx context.Context) error {
	timer := time.NewTimer(orElse(t.cfg.Poll, 100*time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return errStop
	case <-timer.C:
		return nil
	}
}

// again goes back to the end of the last whole line, in the file that has the segment's name now: the
// log puts a deleted segment back as a new file.
func (r *lines) again() error {
	named, err := os.Open(r.path)
	switch {
	case err == nil:
		_ = r.file.Close()
		r.file = named
	case !errors.Is(err, os.ErrNotExist): // deleted, and not put back yet
		return err
	}
	if _, err := r.file.Seek(r.at, io.SeekStart); err != nil {
		return err
	}
	r.in.Reset(r.file)
	return nil
}

// segmentWith returns the segment that entry seq stands in, or would.
func segmentWith(dir string, seq uint64) (uint64, error) {
	segments, err := segmentsOf(dir)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	var found uint64
	for i, n := range segments {
		if i > 0 && seq > 0 {
			first, err := firstEntry(filepath.Join(dir, segmentName(n)))
			if err != nil {
				return 0, err
			}
			if first.Seq > seq {
				break
			}
		}
		if found = n; seq == 0 {
			break
		}
	}
	return found, nil
}

// segmentAfter returns the next segment there is, and zero when there is none.
func segmentAfter(dir string, number uint64) (uint64, error) {
	segments, err := segmentsOf(dir)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	for _, n := range segments {
		if n > number {
			return n, nil
		}
	}
	return 0, nil
}

// startOf returns the number of the entry that stands so many entries before the end.
func startOf(dir string, last int, own bool) (uint64, error) {
	segments, err := segmentsOf(dir)
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	var from uint64
	for i := len(segments) - 1; i >= 0 && last > 0; i-- {
		numbers, err := numbersIn(filepath.Join(dir, segmentName(segments[i])), own)
		if err != nil {
			return 0, err
		}
		if len(numbers) > 0 {
			from = numbers[max(len(numbers)-last, 0)]
		}
		last -= len(numbers)
	}
	return from, nil
}

// numbersIn returns the numbers of the entries in one segment.
func numbersIn(path string, own bool) (numbers []uint64, err error) {
	r, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer r.close()
	t := &tail{cfg: TailConfig{Own: own}, yield: func(e Entry, _ error) bool {
		numbers = append(numbers, e.Seq)
		return true
	}}
	return numbers, t.rest(r)
}
