package cli_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom-broker/intercom/cmd/internal/cli"
)

func TestMain(m *testing.M) {
	if os.Getenv("CLI_TEST_DAEMON") == "" {
		os.Exit(m.Run())
	}
	root := &cobra.Command{Use: "intercom-test", RunE: func(cmd *cobra.Command, _ []string) error {
		fmt.Fprintln(os.Stderr, "up")
		<-cmd.Context().Done()
		return nil
	}}
	root.SetArgs(nil)
	os.Exit(cli.Daemon(root))
}

// TestDaemonOutlivesHangup: a SIGHUP is answered by a line of the log; the process goes on, and ends when it is asked to.
func TestDaemonOutlivesHangup(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CLI_TEST_DAEMON=yes")
	errOut, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(errOut)
	for _, want := range []string{"up", `"program":"intercom-test"`, "SIGHUP changes nothing"} {
		if !strings.Contains(lines.Text(), want) && (!lines.Scan() || !strings.Contains(lines.Text(), want)) {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
		if want == "up" {
			_ = cmd.Process.Signal(syscall.SIGHUP)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
