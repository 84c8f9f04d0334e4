package stack

import (
	"context"
	"strings"
	"sync"
	"testing"
)

// server is what [Vault], [SPIRE] and [Keycloak] share among the tests of a process.
type server interface {
	Stop() error
	processes() []*Process
}

// registry holds the shared servers of this process.
type registry struct {
	mu      sync.Mutex
	held    bool // by Main: servers stay until it ends
	servers map[string]*shared
}

// shared is one server, and how many tests use it.
type shared struct {
	server server
	err    error // why it could not be started; not tried again
	users  int
}

// process is the registry of this process. One server per process is what it is for, so it is the
// package's one variable.
var process = &registry{servers: map[string]*shared{}}

// Main runs a package's tests and then stops what they shared. Call it from TestMain: without it a shared
// server lives only while a test that asked for it runs, and the next test starts another.
//
// When the test binary is killed or panics, as it does at its timeout, the kernel ends the servers.
func Main(m *testing.M) {
	process.mu.Lock()
	process.held = true
	process.mu.Unlock()
	m.Run() // whose result the test binary exits with when TestMain returns
	process.close()
}

// Vault returns a Vault for all tests of the process, or the one that INTERCOM_TEST_VAULT_ADDR names. Do
// not seal, stop or pause it; [StartVault] gives one for that.
func Vault(t testing.TB) *VaultServer {
	t.Helper()
	skipShort(t)
	external, err := externalVault()
	require(t, err)
	if external != nil {
		return external
	}
	return use(t, "vault", func(ctx context.Context) (*VaultServer, error) { return OpenVault(ctx, VaultOptions{}) })
}

// StartVault starts a Vault of the test's own, which ends with the test. It ignores
// INTERCOM_TEST_VAULT_ADDR.
func StartVault(t testing.TB, o VaultOptions) *VaultServer {
	t.Helper()
	skipShort(t)
	v, err := OpenVault(context.Background(), o)
	require(t, err)
	v.private = true
	stopAfter(t, v)
	return v
}

// SPIRE returns trust domains for all tests of the process that ask for these names, federated with each
// other. Do not stop their servers or agents; [StartSPIRE] gives others for that.
func SPIRE(t testing.TB, domains ...string) *SPIREServers {
	t.Helper()
	skipShort(t)
	return use(t, "spire "+strings.Join(domains, " "), func(ctx context.Context) (*SPIREServers, error) {
		return OpenSPIRE(ctx, domains...)
	})
}

// StartSPIRE starts trust domains of the test's own, federated with each other, which end with the test.
func StartSPIRE(t testing.TB, domains ...string) *SPIREServers {
	t.Helper()
	skipShort(t)
	s, err := OpenSPIRE(context.Background(), domains...)
	require(t, err)
	stopAfter(t, s)
	return s
}

// Keycloak returns a Keycloak with the realm in that file, for all tests of the process that ask for it.
// Do not stop or pause it; [StartKeycloak] gives one for that.
func Keycloak(t testing.TB, realm string) *KeycloakServer {
	t.Helper()
	skipShort(t)
	return use(t, "keycloak "+realm, func(ctx context.Context) (*KeycloakServer, error) {
		return OpenKeycloak(ctx, KeycloakOptions{Realm: realm})
	})
}

// StartKeycloak starts a Keycloak of the test's own, which ends with the test.
func StartKeycloak(t testing.TB, o KeycloakOptions) *KeycloakServer {
	t.Helper()
	skipShort(t)
	k, err := OpenKeycloak(context.Background(), o)
	require(t, err)
	stopAfter(t, k)
	return k
}

// stopAfter stops a test's own server.
func stopAfter(t testing.TB, s server) {
	t.Cleanup(func() {
		showLogs(t, s)
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// showLogs shows a failed test what the server said.
func showLogs(t testing.TB, s server) {
	if t.Failed() {
		for _, p := range s.processes() {
			t.Log(p.LogTail(20))
		}
	}
}

// use returns the shared server of that key, starting it for its first user.
func use[S server](t testing.TB, key string, open func(context.Context) (S, error)) S {
	t.Helper()
	s, err := process.acquire(key, func() (server, error) { return open(context.Background()) })
	require(t, err)
	t.Cleanup(func() {
		for _, p := range s.processes() {
			if !p.Alive() {
				t.Errorf("a shared server is gone: %s", p.cmd.Name)
			}
		}
		showLogs(t, s)
		process.release(key)
	})
	return s.(S)
}

func (r *registry) acquire(key string, open func() (server, error)) (server, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.servers[key]
	if s == nil {
		s = &shared{}
		s.server, s.err = open()
		r.servers[key] = s
	}
	if s.err == nil {
		s.users++
	}
	return s.server, s.err
}

func (r *registry) release(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.servers[key]
	if s.users--; s.users == 0 && !r.held {
		_ = s.server.Stop()
		delete(r.servers, key)
	}
}

func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, s := range r.servers {
		if s.err == nil {
			_ = s.server.Stop()
		}
		delete(r.servers, key)
	}
}
