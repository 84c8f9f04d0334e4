package stack_test

import (
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestSharedVault(t *testing.T) {
	v := stack.Vault(t)
	if again := stack.Vault(t); again.Addr != v.Addr {
		t.Errorf("two servers in one process: %s and %s", v.Addr, again.Addr)
	}
	var kv string
	t.Run("a mount", func(t *testing.T) {
		kv = v.KV(t)
		v.Call(t, http.MethodPost, kv+"/data/a", map[string]any{"data": map[string]any{"k": "v"}})
		got := v.Call(t, http.MethodGet, kv+"/data/a", nil)
		if data, _ := got["data"].(map[string]any)["data"].(map[string]any); data["k"] != "v" {
			t.Errorf("read back %v", got)
		}
	})
	_, err := v.Do(t.Context(), http.MethodGet, kv+"/data/a", nil)
	if e, ok := errors.AsType[*stack.APIError](err); !ok || e.Status != http.StatusNotFound {
		t.Errorf("the mount outlived its test: %v", err)
	}
}

func TestVaultSealAndUnseal(t *testing.T) {
	v := stack.StartVault(t, stack.VaultOptions{})
	if err := v.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := v.Do(t.Context(), http.MethodGet, "sys/mounts", nil)
	if e, ok := errors.AsType[*stack.APIError](err); !ok || e.Status != http.StatusServiceUnavailable {
		t.Errorf("a sealed server answered %v", err)
	}
	if err := v.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.Call(t, http.MethodGet, "sys/mounts", nil)
}

func TestPersistentVaultKeepsItsDataOverAKill(t *testing.T) {
	v := stack.StartVault(t, stack.VaultOptions{Persistent: true})
	kv := v.KV(t)
	v.Call(t, http.MethodPost, kv+"/data/a", map[string]any{"data": map[string]any{"k": "v"}})
	pid := v.PID()
	v.Kill()
	gone(t, pid)
	if err := v.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.Call(t, http.MethodGet, kv+"/data/a", nil)
}

func TestStoppedVaultLeavesNothing(t *testing.T) {
	stack.Binary(t, "vault")
	v, err := stack.OpenVault(t.Context(), stack.VaultOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pid, ca := v.PID(), v.CACert
	began := time.Now()
	if err := v.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("stopped in %s", time.Since(began))
	gone(t, pid)
	if _, err := os.Stat(ca); !os.IsNotExist(err) {
		t.Errorf("files are left: %v", err)
	}
}

// TestExternalVault takes one of our own servers for one that the environment names.
func TestExternalVault(t *testing.T) {
	own := stack.StartVault(t, stack.VaultOptions{})
	t.Setenv("INTERCOM_TEST_VAULT_ADDR", own.Addr)
	t.Setenv("INTERCOM_TEST_VAULT_TOKEN", own.Token)
	t.Setenv("INTERCOM_TEST_VAULT_CACERT", own.CACert)
	v := stack.Vault(t)
	if !v.External() || own.External() || v.Addr != own.Addr {
		t.Fatalf("external %v, own %v, at %s", v.External(), own.External(), v.Addr)
	}
	t.Run("a mount", func(t *testing.T) { v.KV(t) })
	if mounts := v.Call(t, http.MethodGet, "sys/mounts", nil); len(mounts["data"].(map[string]any)) != 3 {
		t.Errorf("other mounts than cubbyhole, identity and sys: %v", mounts["data"])
	}
	if v.Seal(t.Context()) == nil || v.Restart(t.Context()) == nil || v.Stop() != nil || !own.Alive() {
		t.Error("a server that is not ours was sealed, restarted or stopped")
	}
}

// TestVaultStandby: what it is asked is answered by the active one, and it says what it is.
func TestVaultStandby(t *testing.T) {
	v := stack.StartVault(t, stack.VaultOptions{Persistent: true})
	kv := v.KV(t)
	v.Call(t, http.MethodPost, kv+"/data/a", map[string]any{"data": map[string]any{"k": "v"}})
	standby := stack.StartVaultStandby(t, v)
	standby.Call(t, http.MethodGet, kv+"/data/a", nil)
	_, err := standby.Do(t.Context(), http.MethodGet, "sys/health", nil)
	if e, ok := errors.AsType[*stack.APIError](err); !ok || e.Status != http.StatusTooManyRequests {
		t.Errorf("a standby says %v", err)
	}
}
