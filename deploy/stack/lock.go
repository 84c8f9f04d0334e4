package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockCache takes the lock of the cache, which all builds and installations hold: builds take much memory,
// and dpkg admits one at a time and fails the others.
func lockCache(ctx context.Context, name string) (unlock func(), err error) {
	root, err := cacheRoot()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	return lock(ctx, filepath.Join(root, "lock"), name+": waiting for another build")
}

// lock takes an exclusive lock on a file, across processes. It asks again rather than blocks in the
// kernel, so that ctx can end the wait. The kernel frees the lock when its holder dies.
func lock(ctx context.Context, file, waiting string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	if err := lockFile(ctx, f, waiting); err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

func lockFile(ctx context.Context, f *os.File, waiting string) error {
	if ok, err := tryLock(f); ok || err != nil {
		return err
	}
	defer tell(waiting)()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: %s: %w", waiting, ctx.Err())
		case <-tick.C:
			if ok, err := tryLock(f); ok || err != nil {
				return err
			}
		}
	}
}

// tryLock reports whether it got the lock.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("stack: lock %s: %w", f.Name(), err)
	}
	return true, nil
}
