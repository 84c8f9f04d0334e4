package stack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func start(t *testing.T, cmd stack.Command) *stack.Process {
	t.Helper()
	p, err := stack.Start(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestStopStartKill(t *testing.T) {
	dir := t.TempDir()
	p := start(t, sleeper(dir))
	first := p.PID()
	if !p.Alive() || p.Start(t.Context()) == nil {
		t.Error("a running process is not known to run, or was started twice")
	}
	if err := p.Stop(); err != nil || p.Alive() {
		t.Errorf("after Stop: %v, alive %v", err, p.Alive())
	}
	gone(t, first)
	if err := p.Stop(); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "ready")); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil || !p.Alive() || p.PID() == first {
		t.Fatalf("started again: %v, alive %v", err, p.Alive())
	}
	p.Kill()
	gone(t, p.PID())
	if got := strings.Count(p.LogTail(10), "slept before"); got != 2 {
		t.Errorf("the log has %d of 2 runs:\n%s", got, p.LogTail(10))
	}
}

func TestStopEndsAPausedProcess(t *testing.T) {
	p := start(t, sleeper(t.TempDir()))
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if status := readFile(t, fmt.Sprintf("/proc/%d/status", p.PID())); !strings.Contains(status, "State:\tT") {
		t.Errorf("not stopped:\n%s", status)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := p.Pause(); err != nil { // a second time: the first must not answer for it
		t.Fatal(err)
	}
	began := time.Now()
	if err := p.Stop(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// TestEarlyEndIsNotWaitedFor starts a process that ends at once, with a readiness that never comes.
func TestEarlyEndIsNotWaitedFor(t *testing.T) {
	cmd := sleeper(t.TempDir())
	cmd.Args = []string{"-c", "echo port is taken; exit 3"}
	cmd.Ready = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	began := time.Now()
	_, err := stack.Start(t.Context(), cmd)
	if err == nil || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	for _, want := range []string{"sleeper", "exit status 3", "port is taken"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestNotReadyIsKilled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd, notYet := sleeper(t.TempDir()), errors.New("not yet")
	cmd.Args = []string{"-c", "echo $$ >pid; exec sleep 600"}
	cmd.Ready = func(context.Context) error {
		if text, err := os.ReadFile(filepath.Join(cmd.Dir, "pid")); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			cancel()
		}
		return notYet
	}
	if _, err := stack.Start(ctx, cmd); !errors.Is(err, notYet) {
		t.Errorf("the error does not say what was waited for: %v", err)
	}
	gone(t, readPID(t, filepath.Join(cmd.Dir, "pid")))
}

// TestEnvironmentIsNotInherited plants a variable that a component could act upon.
func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "planted")
	cmd := sleeper(t.TempDir())
	cmd.Args = []string{"-c", "env; exec sleep 600"}
	cmd.Ready = func(context.Context) error {
		if !strings.Contains(readFile(t, cmd.Log), "HOME="+cmd.Dir) {
			return errors.New("nothing printed yet")
		}
		return nil
	}
	if p := start(t, cmd); strings.Contains(p.LogTail(100), "planted") {
		t.Errorf("the child has our environment:\n%s", p.LogTail(100))
	}
}
