package stack_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestSharedUntilTheLastUser asks for the shared Vault from a test and from one inside it: with and without
// Main it stays for both, and without it is gone afterwards.
func TestSharedUntilTheLastUser(t *testing.T) {
	var pid int
	var next string
	t.Run("users", func(t *testing.T) {
		v := stack.Vault(t)
		if v.External() {
			t.Skip("the environment names a Vault")
		}
		pid = v.PID()
		t.Run("another", func(t *testing.T) { stack.Vault(t) })
		if !v.Alive() {
			t.Error("gone with its first user")
		}
	})
	if pid == 0 {
		return
	}
	t.Run("next", func(t *testing.T) { next = stack.Vault(t).Addr })
	if os.Getenv(envUnheld) != "" {
		gone(t, pid)
		return
	}
	if again := stack.Vault(t); again.PID() != pid || again.Addr != next {
		t.Error("another server, though Main holds the first")
	}
}

func TestWithoutMain(t *testing.T) {
	if testing.Short() || os.Getenv(envUnheld) != "" {
		t.Skip("starts a Vault, in a test binary of its own")
	}
	stack.Binary(t, "vault")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestSharedUntilTheLastUser$")
	cmd.Env = append(os.Environ(), envUnheld+"=1", "INTERCOM_TEST_VAULT_ADDR=")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestSharedUntilTheLastUser/next") {
		t.Errorf("%v\n%s", err, out)
	}
}
