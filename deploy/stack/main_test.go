package stack_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

const (
	// envParent makes this test binary start a child through [stack.Start], print its id, and wait to be killed.
	envParent = "STACK_TEST_PARENT"
	// envUnheld makes it run its tests without [stack.Main].
	envUnheld = "STACK_TEST_UNHELD"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envParent); dir != "" {
		beParent(dir)
	}
	if os.Getenv(envUnheld) != "" {
		m.Run()
		return
	}
	stack.Main(m)
}

func beParent(dir string) {
	p, err := stack.Start(context.Background(), sleeper(dir))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	select {}
}

// sleeper is ready when it has written the file of that name, which a test removes before the next run.
func sleeper(dir string) stack.Command {
	return stack.Command{
		Name: "sleeper", Path: "/bin/sh", Args: []string{"-c", "echo slept before; touch ready; exec sleep 600"},
		Dir: dir, Log: filepath.Join(dir, "log"),
		Ready: func(context.Context) error {
			_, err := os.Stat(filepath.Join(dir, "ready"))
			return err
		},
	}
}

// gone waits until no process has that id, or only its remains that nobody has waited for.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d still runs:\n%s", pid, status)
		}
	}
}

// TestChildDiesWithParent kills a parent in the hardest way: what it started must not outlive it.
func TestChildDiesWithParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), envParent+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscanln(out, &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	gone(t, pid)
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readPID(t *testing.T, file string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
