package stack

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// ProxyServer is a running nginx, Envoy or Caddy.
type ProxyServer struct {
	// Addr is where it listens, as host:port: the first of the ports that its configuration was made for.
	Addr string

	*Process

	kind   proxyKind
	config string
	remove func()
}

// proxyKind is what differs between them.
type proxyKind struct {
	name, file string
	find       func(context.Context) (program string, err error)
	args       func(file string) []string
	write      func(file, config string) error
	orphaned   syscall.Signal
}

// StartNginx starts an nginx of the test's own, which ends with the test. config is called with n free ports and
// returns what stands inside http{}; nginx listens at least on the first of them.
func StartNginx(t testing.TB, n int, config func(ports []int) string) *ProxyServer {
	t.Helper()
	return startProxy(t, nginx(), n, config)
}

// StartEnvoy is [StartNginx] for Envoy, whose config is a whole file.
func StartEnvoy(t testing.TB, n int, config func(ports []int) string) *ProxyServer {
	t.Helper()
	return startProxy(t, envoy(), n, config)
}

// StartCaddy is [StartNginx] for Caddy, whose config is a whole Caddyfile.
func StartCaddy(t testing.TB, n int, config func(ports []int) string) *ProxyServer {
	t.Helper()
	return startProxy(t, caddy(), n, config)
}

func startProxy(t testing.TB, kind proxyKind, n int, config func(ports []int) string) (p *ProxyServer) {
	t.Helper()
	skipShort(t)
	program, err := kind.find(context.Background())
	require(t, err)
	require(t, withPorts(n, func(ports []int) (err error) {
		p, err = openProxy(context.Background(), kind, program, addr(ports[0]), config(ports))
		return err
	}))
	stopAfter(t, p)
	return p
}

func openProxy(ctx context.Context, kind proxyKind, program, address, config string) (*ProxyServer, error) {
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	p := &ProxyServer{Addr: address, kind: kind, config: filepath.Join(dir, kind.file), remove: remove}
	if err = kind.write(p.config, config); err == nil {
		p.Process, err = Start(ctx, Command{
			Name: kind.name, Path: program, Args: kind.args(p.config), Dir: dir, Log: filepath.Join(dir, kind.name+".log"),
			Ready: p.listens, Orphaned: kind.orphaned,
		})
	}
	if err != nil {
		remove()
		return nil, err
	}
	return p, nil
}

func (p *ProxyServer) listens(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.Addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Reload lets nginx take another configuration, for the same ports (SIGHUP). Requests in flight end as they began;
// how soon new ones are answered by it is nginx' affair. Envoy and Caddy have no such signal.
func (p *ProxyServer) Reload(t testing.TB, config string) {
	t.Helper()
	if err := errors.Join(p.kind.write(p.config, config), syscall.Kill(p.PID(), syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server and removes its files.
func (p *ProxyServer) Stop() error {
	defer p.remove()
	return p.Process.Stop()
}

func (p *ProxyServer) processes() []*Process { return []*Process{p.Process} }

func nginx() proxyKind {
	return proxyKind{
		name: "nginx", file: "nginx.conf", orphaned: syscall.SIGTERM, // the workers end with the master, unless that is killed
		find: packaged{binary{"nginx", "-v", "nginx version: nginx/1."}, []string{"nginx"}}.find,
		args: func(file string) []string { return []string{"-c", file, "-e", "stderr", "-p", filepath.Dir(file)} },
		write: func(file, config string) error {
			return writeConfig(file, "nginx.conf", struct{ Dir, Config string }{filepath.Dir(file), config})
		},
	}
}

func envoy() proxyKind {
	return proxyKind{
		name: "envoy", file: "envoy.yaml", orphaned: syscall.SIGKILL,
		find: func(ctx context.Context) (string, error) { return find(ctx, "envoy") },
		// Without --disable-hot-restart two Envoys on one machine share a base id.
		args: func(file string) []string {
			return []string{"-c", file, "--concurrency", "2", "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "100"}
		},
		write: writeWhole,
	}
}

func caddy() proxyKind {
	return proxyKind{
		name: "caddy", file: "Caddyfile", orphaned: syscall.SIGKILL,
		find:  packaged{binary{"caddy", "version", "2."}, []string{"caddy"}}.find,
		args:  func(file string) []string { return []string{"run", "--config", file, "--adapter", "caddyfile"} },
		write: writeWhole,
	}
}

func writeWhole(file, config string) error { return os.WriteFile(file, []byte(config), 0o600) }
