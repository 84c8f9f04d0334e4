package localapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// ListenUnix listens on a Unix socket. Without uids only the socket's owner may connect, by its mode;
// with them only processes of these users may, whatever the mode, as the kernel names them. A socket that
// a dead process left behind is replaced, anything else at path is left alone.
func ListenUnix(path string, uids []uint32, logger *slog.Logger) (net.Listener, error) {
	if err := removeDead(path); err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o600)
	if len(uids) > 0 {
		mode = 0o666 // the list decides
	}
	l, err := listenMode(path, mode)
	if err != nil {
		return nil, err
	}
	if len(uids) == 0 {
		return l, nil
	}
	return &peerListener{Listener: l, uids: slices.Clone(uids), logger: logger, logs: rate.NewLimiter(1, 10)}, nil
}

// listenMode sets the mode on the descriptor before bind makes the file, so that there is no moment at
// which others may connect, and once more afterwards for systems that do not heed the first.
func listenMode(path string, mode fs.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), uint32(mode&0o600)) })
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: it is left alone", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is in use: another process serves it", path)
	}
	return os.Remove(path)
}

// peerListener lets in the processes of some users.
type peerListener struct {
	net.Listener
	uids   []uint32
	logger *slog.Logger
	logs   *rate.Limiter // whom we refuse must not fill our log
}

// refusal is for who is not let in, in HTTP/1.1 whatever it speaks: nothing is read from it.
const refusal = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/problem+json\r\n\r\n" +
	`{"type":"about:blank","title":"Forbidden","status":403,"code":"PEER_UID",` +
	`"detail":"the sidecar's socket is not for this user: see listen.uids in the sidecar's configuration"}` + "\n"

// Accept implements net.Listener.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && slices.Contains(l.uids, uid) {
			return c, nil
		}
		if l.logger != nil && l.logs.Allow() {
			l.logger.Warn("a process of another user was refused on the socket", "uid", uid, "error", err)
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(refusal))
		_ = c.Close()
	}
}
