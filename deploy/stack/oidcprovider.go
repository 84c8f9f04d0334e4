package stack

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

//go:embed scripts/oidcprovider.mjs
var oidcProvider []byte

// OIDCProviderOptions say what npm's oidc-provider is started with.
type OIDCProviderOptions struct {
	// Authority vouches for it, and for those that it calls; required.
	Authority *Authority
	// Clients is the metadata of its clients, by the names of OpenID Connect Dynamic Client Registration 1.0.
	Clients []map[string]any
	// Life is an access token's; zero means five minutes.
	Life time.Duration
	// Defaults are settings that stay as the package brings them, such as issueRefreshToken: see scripts/oidcprovider.mjs,
	// which says what comes of each.
	Defaults []string
}

// OIDCProviderServer is a running oidc-provider. Its users are alice, who is in the group staff, and bob; it keeps
// everything in memory.
type OIDCProviderServer struct {
	// Issuer is its URL, at a name below [TestDomain].
	Issuer string
	// CACert is the file of the CA that its certificate is verified with.
	CACert string

	*Process

	address string // as host:port, for whom does not know names
	client  *http.Client
	remove  func()
}

// StartOIDCProvider starts an oidc-provider that ends with the test. Whoever calls it needs [ResolveNames].
func StartOIDCProvider(t testing.TB, o OIDCProviderOptions) *OIDCProviderServer {
	t.Helper()
	skipShort(t)
	p, err := openOIDCProvider(context.Background(), o)
	require(t, err)
	stopAfter(t, p)
	return p
}

func openOIDCProvider(ctx context.Context, o OIDCProviderOptions) (*OIDCProviderServer, error) {
	kept, err := named("node").provide(ctx)
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	p := &OIDCProviderServer{CACert: o.Authority.File, remove: remove}
	if err = p.furnish(dir, filepath.Join(kept, "node_modules"), o.Authority); err == nil {
		err = withPorts(1, func(ports []int) error { return p.open(ctx, dir, ports[0], o) })
	}
	if err != nil {
		_ = p.Stop()
		return nil, err
	}
	return p, nil
}

const oidcProviderHost = "id." + TestDomain

// furnish puts into dir what is the same on each port.
func (p *OIDCProviderServer) furnish(dir, packages string, a *Authority) (err error) {
	if p.client, err = newHTTPClient(a.File); err != nil {
		return err
	}
	return errors.Join(
		a.Issue(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), oidcProviderHost, "127.0.0.1"),
		os.WriteFile(filepath.Join(dir, "provider.mjs"), oidcProvider, 0o600),
		os.Symlink(packages, filepath.Join(dir, "node_modules")),
	)
}

func (p *OIDCProviderServer) open(ctx context.Context, dir string, port int, o OIDCProviderOptions) error {
	p.address, p.Issuer = addr(port), fmt.Sprintf("https://%s:%d", oidcProviderHost, port)
	given, err := json.Marshal(map[string]any{
		"host": oidcProviderHost, "port": port, "domain": "." + TestDomain,
		"clients": o.Clients, "life": cmp.Or(o.Life, 5*time.Minute).Seconds(), "defaults": o.Defaults,
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "given.json"), given, 0o600)
	}
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	p.Process, err = Start(ctx, Command{
		Name: "oidc-provider", Path: "node", Args: []string{"provider.mjs"}, Dir: dir, Log: filepath.Join(dir, "provider.log"),
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NODE_EXTRA_CA_CERTS=" + o.Authority.File},
		Ready: func(ctx context.Context) error {
			return p.send(ctx, http.MethodGet, "/.well-known/openid-configuration")
		},
	})
	return err
}

func (p *OIDCProviderServer) send(ctx context.Context, method, path string) error {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+p.address+path, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return nil
}

// Forget removes a user, of which nobody is told: the next refresh fails.
func (p *OIDCProviderServer) Forget(t testing.TB, user string) {
	t.Helper()
	require(t, p.send(context.Background(), http.MethodDelete, "/users/"+user))
}

// Stop ends the server and removes its files.
func (p *OIDCProviderServer) Stop() error {
	defer p.remove()
	if p.Process == nil {
		return nil
	}
	return p.Process.Stop()
}

func (p *OIDCProviderServer) processes() []*Process { return []*Process{p.Process} }
