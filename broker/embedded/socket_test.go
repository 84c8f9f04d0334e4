package embedded_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded"
)

// leaveStale leaves a socket file behind that nobody serves, as a killed process does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSocket(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	id := d.ID("/orders")
	dir := shortDir(t)

	if _, err := d.Listen(filepath.Join(dir, strings.Repeat("x", 120)), id); err == nil || !strings.Contains(err.Error(), "at most 107") {
		t.Errorf("a path that does not fit: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Listen(file, id); err == nil {
		t.Error("a file that is no socket was replaced")
	}

	path := filepath.Join(dir, "api.sock")
	ctx, cancel := context.WithCancel(t.Context())
	api, err := d.Listen(path, id)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- api.Run(ctx) }()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := d.Listen(path, id); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket that answers was replaced: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stayed: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	d := newDomain(t, embedded.Config{})
	path := filepath.Join(shortDir(t), "api.sock")
	leaveStale(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Serve(ctx, path, d.ID("/orders")); err != nil {
		t.Error(err)
	}
}
