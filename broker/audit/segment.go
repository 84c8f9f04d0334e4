package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	segmentSuffix = ".jsonl"
	tempSuffix    = ".new"
	// format is written into every segment. A reader refuses a format that it does not know.
	format = 1
)

func segmentName(number uint64) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// segmentNumber returns the number in a segment's file name.
func segmentNumber(name string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 10, 64)
	return n, err == nil && n > 0 && name == segmentName(n)
}

// segmentsOf returns the numbers of the segments in dir, in order.
func segmentsOf(dir string) ([]uint64, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range names {
		if n, ok := segmentNumber(e.Name()); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// segment is the file that is written to.
type segment struct {
	file   *os.File
	path   string
	number uint64
	size   int64     // up to the end of the last whole entry
	began  time.Time // when its first line was written
	events uint64    // entries in it that are not the log's own
}

// createSegment makes the segment that follows at. Its first line is on the disk before the file has
// its name, so that no segment begins with half a line.
func createSegment(dir string, number uint64, at *chain, now time.Time) (*segment, error) {
	f := fields{}.time("time", now).text("kind", string(KindSegment))
	f = f.count("segment", number).count("format", format).text("prev", at.hash.String())
	next := *at
	path := filepath.Join(dir, segmentName(number))
	line := next.add(nil, f)
	file, err := replaceFile(path, line, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: begin a segment: %w", err)
	}
	*at = next
	return &segment{file: file, path: path, number: number, size: int64(len(line)), began: now}, nil
}

// replaceFile writes a file as a whole or not at all: a new one, on the disk, under a name that stands
// for the old or the new at any moment. It returns the file, open for appending, so that the one that was
// written is the one that is gone on with.
func replaceFile(path string, content []byte, mode os.FileMode) (*os.File, error) {
	temp := path + tempSuffix
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return nil, err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(temp))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writeFile is replaceFile for a file that nothing is appended to.
func writeFile(path string, content []byte, mode os.FileMode) error {
	f, err := replaceFile(path, content, mode)
	if err != nil {
		return err
	}
	return f.Close()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// write appends whole lines. After a failure the file ends where it ended before; damaged is true when
// even that could not be had.
func (s *segment) write(lines []byte) (damaged bool, err error) {
	n, err := s.file.Write(lines)
	if err == nil {
		s.size += int64(n)
		return false, nil
	}
	if n > 0 {
		if cut := s.file.Truncate(s.size); cut != nil {
			return true, errors.Join(err, cut)
		}
	}
	return false, err
}

// there reports whether the file still has its name: a log that goes on into a deleted file is kept by
// nobody.
func (s *segment) there() bool {
	mine, err := s.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(s.path)
	return err == nil && os.SameFile(mine, named)
}

// putBack gives a segment that was deleted, moved or replaced its name and content again: the open file
// still has them.
func (s *segment) putBack() error {
	content := make([]byte, s.size)
	if _, err := s.file.ReadAt(content, 0); err != nil {
		return err
	}
	file, err := replaceFile(s.path, content, 0o600)
	if err != nil {
		return err
	}
	old := s.file
	s.file = file
	return old.Close()
}

// openSegment opens for appending, and for the reading that putBack may need.
func openSegment(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0) }
