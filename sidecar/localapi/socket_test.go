package localapi_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// serveUnix serves the world's door on a socket.
func serveUnix(t *testing.T, w *world, uids ...uint32) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := localapi.ListenUnix(path, uids, nil)
	must(t, err)
	srv := localapi.NewServer(w.api.Handler(""))
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return path
}

func unixGet(t *testing.T, path, url string) *http.Response {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	asking(req)
	resp, err := (&http.Transport{DialContext: dial, DisableKeepAlives: true}).RoundTrip(req)
	must(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func TestUnixSocket(t *testing.T) {
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, http.HandlerFunc(hello)), bearer))
	path := serveUnix(t, w)
	for _, url := range []string{"http://localhost/inventory/", "http://inventory/", "http://localhost/v1/token?audience=inventory"} {
		if resp := unixGet(t, path, url); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, resp.Status)
		}
	}
	if resp := unixGet(t, path, "http://inventory:4140/"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another door's port: %s", resp.Status)
	}
	info, err := os.Stat(path)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %v", mode)
	}
}

func TestUnixSocketPeers(t *testing.T) {
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, http.HandlerFunc(hello)), bearer))
	me := uint32(os.Getuid())
	if resp := unixGet(t, serveUnix(t, w, me+1, me), "http://inventory/"); resp.StatusCode != http.StatusOK {
		t.Errorf("a listed user: %s", resp.Status)
	}
	path := serveUnix(t, w, me+1)
	info, err := os.Stat(path)
	must(t, err)
	if mode := info.Mode().Perm(); mode != 0o666 {
		t.Errorf("mode %v keeps listed users out", mode)
	}
	c, err := net.Dial("unix", path)
	must(t, err)
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(resp.Header.Get("Content-Type"), "problem") {
		t.Errorf("a user that is not listed: %s %v", resp.Status, resp.Header)
	}
}

// TestUnixSocketLogIsBounded: whom we refuse may come as often as they like, and must not fill the disk.
func TestUnixSocketLogIsBounded(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "s")
	l, err := localapi.ListenUnix(path, []uint32{uint32(os.Getuid()) + 1}, slog.New(slog.NewTextHandler(&log, nil)))
	must(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = l.Accept() }()
	for range 200 {
		c, err := net.Dial("unix", path)
		must(t, err)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	must(t, l.Close())
	<-ended
	if n := strings.Count(log.String(), "another user was refused"); n == 0 || n > 30 {
		t.Errorf("%d lines for 200 refusals", n)
	}
}

func TestUnixSocketReplacesOnlyTheDead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := localapi.ListenUnix(path, nil, nil)
	must(t, err)
	if _, err := localapi.ListenUnix(path, nil, nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("took a living socket away: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, l.Close())
	l, err = localapi.ListenUnix(path, nil, nil)
	must(t, err)
	must(t, l.Close())
	must(t, os.WriteFile(path, []byte("precious"), fs.FileMode(0o600)))
	if _, err := localapi.ListenUnix(path, nil, nil); err == nil {
		t.Error("took a file away")
	}
}
