package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxPath is what fits into sun_path beside its final NUL.
const maxPath = 107

// listen opens a Unix socket that only its owner may use. A socket that a dead process left behind is
// replaced; one that answers, or a file that is no socket, is not.
func listen(path string) (net.Listener, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("socket path of %d bytes, at most %d fit: %s: choose a shorter directory", len(path), maxPath, path)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode is set on the descriptor before bind creates the file: there is no moment at which others
	// may connect, and no umask, which belongs to the whole process, is touched. Where a socket without a
	// file has no mode, as on macOS, the file's is set a moment later.
	var early error
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { early = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("opening the Workload API: %w", err)
	}
	if early != nil {
		err = os.Chmod(path, 0o600)
	}
	return l, err
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: it is left alone", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use: another process serves it", path)
	}
	return os.Remove(path)
}

// address returns path in the form of a SPIFFE endpoint (Workload Endpoint, section 4).
func address(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("naming the socket: %w", err)
	}
	return "unix://" + abs, nil
}
