package sidecar_test

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/freeport"
)

// idleAim is what an idle sidecar may take.
const idleAim = 25 << 20

// TestIdleMemory starts the real binary, has it work, and looks at what the kernel counts for it when it
// is idle again.
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary")
	}
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	w := newWorld(t)
	door, admin := free(t), free(t)
	cmd, logs := startBinary(t, w.config(t, "listen: { address: "+door+" }\nadmin: "+admin+"\nhold: { tokens: [inventory] }\n"))
	eventually(t, "it is ready", func() bool {
		code, _ := get(t, http.DefaultClient, "http://"+admin+"/readyz")
		return code == http.StatusOK
	})
	for range 300 {
		if code, body := get(t, http.DefaultClient, "http://"+door+"/inventory/x"); code != http.StatusOK || body != "Bearer t-inventory/x" {
			t.Fatalf("%d %s\n%s", code, body, logs)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	least := int64(1 << 62)
	for range 8 {
		time.Sleep(500 * time.Millisecond)
		least = min(least, status(t, cmd.Process.Pid, "VmRSS"))
	}
	t.Logf("idle: RSS %.1f MiB, of which anonymous %.1f MiB", mib(least), mib(status(t, cmd.Process.Pid, "RssAnon")))
	if least > idleAim {
		t.Errorf("idle at %.1f MiB, want at most %.1f", mib(least), mib(idleAim))
	}
	began := time.Now()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("SIGTERM: %v after %v\n%s", err, time.Since(began), logs)
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// status reads a line of /proc/PID/status, in bytes.
func status(t *testing.T, pid int, field string) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	must(t, err)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// startBinary builds cmd/intercom-sidecar as the Taskfile does, and starts it.
func startBinary(t *testing.T, config string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "intercom-sidecar")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "grpcnotrace", "-o", binary, "../cmd/intercom-sidecar").CombinedOutput(); err != nil {
		t.Fatalf("go build: %s", out)
	}
	cmd := exec.Command(binary, "--config", config)
	logs := new(bytes.Buffer)
	cmd.Stderr = logs
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, logs
}

// free returns an address that is free now.
func free(t *testing.T) string {
	t.Helper()
	at, err := freeport.Address()
	must(t, err)
	return at
}
