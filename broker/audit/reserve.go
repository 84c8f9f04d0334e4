package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	reserveFile = "reserve"
	// releaseSteps is in how many steps the reserve is given up: a full disk must not cost a truncation
	// for every entry.
	releaseSteps = 16
)

// reserve is disk that is held by a file. A nil reserve holds none.
type reserve struct {
	mu   sync.Mutex // held while the file's size changes
	file *os.File
	size int64        // what is to be held
	held atomic.Int64 // what is
}

// openReserve holds as much as there is, up to size. Not getting it is no error: the log then begins
// in the state in which it refuses grants and says so.
func openReserve(dir string, size int64) (*reserve, error) {
	path := filepath.Join(dir, reserveFile)
	if size == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("audit: %w", err)
		}
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: hold a reserve: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit: hold a reserve: %w", err), f.Close())
	}
	r := &reserve{file: f, size: size}
	r.held.Store(min(info.Size(), size)) // what the last process could keep
	if err := r.refill(); err != nil && !noSpace(err) {
		return nil, errors.Join(fmt.Errorf("audit: hold a reserve: %w", err), f.Close())
	}
	return r, nil
}

// refill grows the reserve back to its size, or leaves it as it was. A part would be of no use: grants
// would be taken only to be refused again.
func (r *reserve) refill() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := allocate(r.file, r.size); err != nil {
		return errors.Join(err, r.file.Truncate(r.held.Load()))
	}
	// A smaller size than last time gives the rest back.
	if err := r.file.Truncate(r.size); err != nil {
		return err
	}
	r.held.Store(r.size)
	return nil
}

// release gives back n bytes or somewhat more, and reports whether there was something to give.
func (r *reserve) release(n int64) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held.Load() == 0 {
		return false
	}
	left := max(r.held.Load()-max(2*n, r.size/releaseSteps), 0)
	if r.file.Truncate(left) != nil {
		return false
	}
	r.held.Store(left)
	return true
}

// touched reports whether something of the reserve is missing.
func (r *reserve) touched() bool { return r != nil && r.held.Load() < r.size }

// admits reports whether an entry of that standing may be written.
func (r *reserve) admits(s standing) bool {
	switch {
	case !r.touched() || s == other:
		return true
	case s == denial:
		return r.held.Load() >= r.size/2
	default:
		return false
	}
}

func (r *reserve) close() error {
	if r == nil {
		return nil
	}
	return r.file.Close()
}

// noSpace reports whether err says that there is no room: on the disk, in the quota, or under the
// process's limit for a file.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// fill writes zeros up to size, for file systems that cannot allocate.
func fill(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, 64<<10)
	for at := info.Size(); at < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}
