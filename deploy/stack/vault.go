package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// The environment that puts another Vault or OpenBao into the place of [Vault]'s.
const (
	envVaultAddr   = "INTERCOM_TEST_VAULT_ADDR"
	envVaultToken  = "INTERCOM_TEST_VAULT_TOKEN"
	envVaultCACert = "INTERCOM_TEST_VAULT_CACERT"
)

// VaultOptions say what sort of Vault is started. The zero value is one that forgets.
type VaultOptions struct {
	// Persistent keeps the data over Restart and a kill, in integrated storage (raft). False keeps it in
	// memory: sealing is survived, the end of the process is not.
	Persistent bool
}

// VaultServer is a running Vault, or one that the environment named.
type VaultServer struct {
	// Addr is its URL, such as https://127.0.0.1:20001.
	Addr string
	// Token may do everything.
	Token string
	// CACert is the file of the CA that Addr's certificate is verified with. Empty means the system's.
	CACert string

	*Process // nil when the environment named the server

	client    *http.Client
	unsealKey string
	private   bool // of one test, which it ends with
	remove    func()
}

// errExternal answers whoever wants to control the server that the environment named.
var errExternal = errors.New("stack: this Vault is not ours to control (" + envVaultAddr + " is set)")

// OpenVault starts a Vault, initialises and unseals it. For tests there are [Vault] and [StartVault].
func OpenVault(ctx context.Context, o VaultOptions) (*VaultServer, error) {
	program, err := find(ctx, "vault")
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	v := &VaultServer{remove: remove}
	if err := v.open(ctx, program, dir, o); err != nil {
		_ = v.Stop()
		return nil, err
	}
	return v, nil
}

func (v *VaultServer) open(ctx context.Context, program, dir string, o VaultOptions) error {
	if err := v.serve(ctx, program, dir, "stack", o); err != nil {
		return err
	}
	if err := v.initialise(ctx); err != nil {
		return err
	}
	return v.Unseal(ctx)
}

// serve starts it, uninitialised, under a name that it has in its cluster.
func (v *VaultServer) serve(ctx context.Context, program, dir, node string, o VaultOptions) error {
	certs, err := newCertificates(dir)
	if err != nil {
		return err
	}
	v.CACert = certs.ca.File
	if v.client, err = newHTTPClient(certs.ca.File); err != nil {
		return err
	}
	raft := ""
	if o.Persistent {
		raft = filepath.Join(dir, "raft")
		if err := os.Mkdir(raft, 0o700); err != nil {
			return fmt.Errorf("stack: %w", err)
		}
	}
	return withPorts(2, func(ports []int) (err error) {
		v.Addr = "https://" + addr(ports[0])
		config := filepath.Join(dir, "vault.hcl")
		if err := writeConfig(config, "vault.hcl", map[string]string{
			"Addr": addr(ports[0]), "Cluster": addr(ports[1]), "Cert": certs.cert, "Key": certs.key, "Raft": raft, "Node": node,
		}); err != nil {
			return err
		}
		v.Process, err = Start(ctx, Command{
			Name: "vault", Path: program, Args: []string{"server", "-config=" + config},
			Dir: dir, Log: filepath.Join(dir, "vault.log"), Ready: v.answers,
		})
		return err
	})
}

// externalVault is the server that the environment names, and nil when it names none.
func externalVault() (*VaultServer, error) {
	address := os.Getenv(envVaultAddr)
	if address == "" {
		return nil, nil
	}
	v := &VaultServer{Addr: address, Token: os.Getenv(envVaultToken), CACert: os.Getenv(envVaultCACert)}
	if v.Token == "" {
		return nil, fmt.Errorf("stack: %s is set and %s is not", envVaultAddr, envVaultToken)
	}
	var err error
	v.client, err = newHTTPClient(v.CACert)
	return v, err
}

// External reports whether the environment named this server: it can be used and not controlled.
func (v *VaultServer) External() bool { return v.Process == nil && v.remove == nil }

// Stop ends the server and removes its files. A server that the environment named is left alone.
func (v *VaultServer) Stop() error {
	if v.remove == nil {
		return nil
	}
	defer v.remove()
	if v.Process == nil {
		return nil
	}
	return v.Process.Stop()
}

func (v *VaultServer) processes() []*Process { return []*Process{v.Process} }

// Restart ends a persistent server with SIGTERM, starts it again and unseals it.
func (v *VaultServer) Restart(ctx context.Context) error {
	if v.External() {
		return errExternal
	}
	if err := v.Process.Stop(); err != nil {
		return err
	}
	if err := v.Start(ctx); err != nil {
		return err
	}
	return v.Unseal(ctx)
}

// Seal seals the server: it answers 503 from now on.
func (v *VaultServer) Seal(ctx context.Context) error {
	if v.External() {
		return errExternal
	}
	_, err := v.Do(ctx, http.MethodPut, "sys/seal", nil)
	return err
}

// Unseal unseals the server and waits until it is active, which raft takes a moment for.
func (v *VaultServer) Unseal(ctx context.Context) error {
	if v.External() {
		return errExternal
	}
	if _, err := v.Do(ctx, http.MethodPut, "sys/unseal", map[string]any{"key": v.unsealKey}); err != nil {
		return err
	}
	return poll(ctx, readyWithin, func() error {
		_, err := v.Do(ctx, http.MethodGet, "sys/health", nil)
		return err
	})
}

// answers is ready for a server that listens, sealed and uninitialised as it may be.
func (v *VaultServer) answers(ctx context.Context) error {
	_, err := v.Do(ctx, http.MethodGet, "sys/seal-status", nil)
	return err
}

// initialise makes the one unseal key and the root token.
func (v *VaultServer) initialise(ctx context.Context) error {
	answer, err := v.Do(ctx, http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	if err != nil {
		return err
	}
	keys, _ := answer["keys_base64"].([]any)
	if len(keys) != 1 {
		return errors.New("stack: vault: sys/init gave no key")
	}
	v.unsealKey, _ = keys[0].(string)
	v.Token, _ = answer["root_token"].(string)
	return nil
}

func newHTTPClient(caFile string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("stack: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("stack: %s holds no certificate", caFile)
		}
	}
	// A Keycloak that makes the keys of several realms at once, on a machine that is busy, has been seen to take half a minute.
	return &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{TLSClientConfig: config}}, nil
}

// poll calls f every 50 ms until it returns nil, at most for as long as d.
func poll(ctx context.Context, d time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for tick := time.Tick(50 * time.Millisecond); ; {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: waited %s in vain: %w", d, err)
		case <-tick:
		}
	}
}
