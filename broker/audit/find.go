package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// findSlack is how far the clock that made an id may be from the one that began a segment.
const findSlack = time.Minute

// Find returns the entries of one decision in the log in dir: itself and, when there is one, its
// outcome. A decision that is not there is a NotFound fault. The log may be in use.
func Find(dir, decision string) ([]Entry, error) {
	if decision == "" || len(decision) > MaxString {
		return nil, fault.New(fault.InvalidRequest, "", "that is no decision id")
	}
	segments, err := segmentsOf(dir)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	var found []Entry
	for _, n := range since(dir, segments, decision) {
		if found, err = findIn(filepath.Join(dir, segmentName(n)), decision, found); err != nil {
			return nil, err
		}
		if complete(found) {
			break
		}
	}
	if len(found) == 0 {
		return nil, fault.Newf(fault.NotFound, "DECISION_UNKNOWN", "no decision %q is in this log", decision)
	}
	return found, nil
}

// complete reports whether nothing more of a decision can follow. One that was allowed has an outcome; a
// second decision, by which the grant was withdrawn, comes before that.
func complete(found []Entry) bool {
	if len(found) == 0 {
		return false
	}
	first, last := found[0], found[len(found)-1]
	return last.Kind == KindOutcome || first.Kind != KindDecision || !first.Allow
}

// since leaves out the segments that ended before the decision was made.
func since(dir string, segments []uint64, decision string) []uint64 {
	made, ours := timeOf(decision)
	if !ours {
		return segments
	}
	for i := len(segments) - 1; i > 0; i-- {
		first, err := firstEntry(filepath.Join(dir, segmentName(segments[i])))
		if err == nil && first.Time.Before(made.Add(-findSlack)) {
			return segments[i:]
		}
	}
	return segments
}

func findIn(path, decision string, found []Entry) ([]Entry, error) {
	r, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer r.close()
	for {
		line, err := r.next()
		torn := (*tornError)(nil)
		if errors.Is(err, io.EOF) || errors.As(err, &torn) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("audit: %s:%d: %w", path, r.line, err)
		}
		if !bytes.Contains(line, []byte(decision)) {
			continue // not worth parsing
		}
		e, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("audit: %s:%d: %w", path, r.line, err)
		}
		if e.Decision == decision {
			e.File, e.Line, e.Raw = filepath.Base(path), r.line, append([]byte(nil), line...)
			found = append(found, e)
		}
	}
}
