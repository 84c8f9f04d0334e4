package sealed

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intercom-broker/intercom/broker/fault"
)

// lockWait bounds the wait for another writer, which needs milliseconds unless it was stopped.
const lockWait = 10 * time.Second

// lock takes the writers' lock and returns how to let go of it. The lock is a file of its own: the sealed
// file is replaced with every save, and a lock on what was replaced excludes nobody. It is never
// removed, for the same reason.
func (s *Store) lock(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, errors.New("another process holds "+s.cfg.Path+".lock"))
	defer cancel()
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return nil, locked(ctx)
	}
	f, err := os.OpenFile(s.cfg.Path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		err = onDisk(err)
	} else {
		err = flock(ctx, f)
	}
	if err != nil {
		<-s.writer
		return nil, err
	}
	return func() { _ = f.Close(); <-s.writer }, nil
}

// flock waits by asking again: the blocking call cannot be given up when ctx ends.
func flock(ctx context.Context, f *os.File) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		} else if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return onDisk(errors.Join(err, f.Close()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = f.Close()
			return locked(ctx)
		}
	}
}

func locked(ctx context.Context) error {
	return fault.New(fault.Unavailable, "STORE_LOCKED", "the credential store is being written by somebody else").
		Because(errors.Join(ctx.Err(), context.Cause(ctx)))
}

func onDisk(err error) *fault.Error {
	return fault.New(fault.Unavailable, "STORE_IO", "the credential store cannot be read or written").Because(err)
}

// stamp tells one state of a file from another. The header alone does, since its nonce is new with every
// save of ours; size and time show what was changed in place.
type stamp struct {
	header header
	size   int64
	time   int64
}

func stampOf(path string) (stamp, error) {
	_, at, err := readFile(path, headerBytes)
	return at, err
}

// readFile reads at most n bytes.
func readFile(path string, n int) ([]byte, stamp, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, stamp{}, unreadable(reasonMissing, "%w: restore it from a backup", err)
	} else if err != nil {
		return nil, stamp{}, onDisk(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, onDisk(err)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(n)))
	if err != nil {
		return nil, stamp{}, onDisk(err)
	}
	return data, stampFor(data, info), nil
}

func stampFor(data []byte, info os.FileInfo) stamp {
	at := stamp{size: info.Size(), time: info.ModTime().UnixNano()}
	copy(at.header[:], data)
	return at
}

// replace puts data in the place of path, in such an order that at every moment either the old file is
// there or the new one is, whole: the new one is on the disk before it gets the name, and the name is
// on the disk before anybody is told. Its caller holds the lock, so that temporary files that lie about
// belong to writers who were killed.
func replace(path string, data []byte) (stamp, error) {
	dir, base := filepath.Dir(path), filepath.Base(path)
	clean(dir, "."+base+".")
	f, err := os.CreateTemp(dir, "."+base+".*.tmp") // mode 0600
	if err != nil {
		return stamp{}, onDisk(err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync())
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return stamp{}, onDisk(errors.Join(err, os.Remove(f.Name())))
	}
	if err := syncDir(dir); err != nil {
		return stamp{}, onDisk(err)
	}
	return stampFor(data, info), nil
}

// clean removes what killed writers left. That it fails is no reason not to write.
func clean(dir, prefix string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), ".tmp") {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
