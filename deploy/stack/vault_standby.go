package stack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
)

// StartVaultStandby starts a second server of a persistent Vault's cluster, which ends with the test. It keeps the same data and
// hands on to the active one what it is asked. Of two, neither is active without the other.
func StartVaultStandby(t testing.TB, active *VaultServer) *VaultServer {
	t.Helper()
	skipShort(t)
	v, err := openStandby(context.Background(), active)
	require(t, err)
	stopAfter(t, v)
	return v
}

func openStandby(ctx context.Context, active *VaultServer) (*VaultServer, error) {
	program, err := find(ctx, "vault")
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	v := &VaultServer{remove: remove, private: true, Token: active.Token, unsealKey: active.unsealKey}
	if err = v.serve(ctx, program, dir, "standby", VaultOptions{Persistent: true}); err == nil {
		err = v.join(ctx, active)
	}
	if err != nil {
		_ = v.Stop()
		return nil, err
	}
	return v, nil
}

// join makes it one of the cluster, and waits until it is.
func (v *VaultServer) join(ctx context.Context, active *VaultServer) error {
	ca, err := os.ReadFile(active.CACert)
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	if _, err := v.Do(ctx, http.MethodPost, "sys/storage/raft/join", map[string]any{"leader_api_addr": active.Addr, "leader_ca_cert": string(ca)}); err != nil {
		return err
	}
	if _, err := v.Do(ctx, http.MethodPut, "sys/unseal", map[string]any{"key": v.unsealKey}); err != nil {
		return err
	}
	return poll(ctx, readyWithin, func() error {
		_, err := v.Do(ctx, http.MethodGet, "sys/mounts", nil) // which it hands on
		return err
	})
}
