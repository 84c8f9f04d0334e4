package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The users of a Redis with an access list. The application's may not do what is dangerous, which is how
// operators hand Redis out.
const (
	redisUser, redisPassword           = "app", "app-password"
	redisAdmin, redisAdminPassword     = "admin", "admin-password"
	redisACL                           = "user default off\nuser %s on >%s ~ic:* &ic:* +@all -@dangerous\nuser %s on >%s ~* &* +@all\n"
	redisSays, redisDebian, redisTools = "Redis server v=7.", "redis-server", "redis-cli"
)

// RedisOptions say what sort of Redis is started. The zero value speaks plainly and asks for no password.
type RedisOptions struct {
	// Guarded is TLS with a CA of its own, and an access list whose user may only touch keys below ic: and
	// has no @dangerous command.
	Guarded bool
}

// RedisServer is a running redis-server. It keeps its data in memory.
type RedisServer struct {
	// Addr is host:port.
	Addr string
	// CACert is the file of the CA that its certificate is verified with; empty when it speaks plainly.
	CACert string
	// Username and Password are the application's; empty when it asks for none.
	Username, Password string

	*Process

	dir    string
	port   int
	remove func()
}

// Redis returns a plain Redis for all tests of the process: keep to keys that no other test has. Do not
// stop or pause it; [StartRedis] gives one for that.
func Redis(t testing.TB) *RedisServer {
	t.Helper()
	skipShort(t)
	return use(t, "redis", func(ctx context.Context) (*RedisServer, error) { return OpenRedis(ctx, RedisOptions{}) })
}

// StartRedis starts a Redis of the test's own, which ends with the test.
func StartRedis(t testing.TB, o RedisOptions) *RedisServer {
	t.Helper()
	skipShort(t)
	r, err := OpenRedis(context.Background(), o)
	require(t, err)
	stopAfter(t, r)
	return r
}

// OpenRedis starts a Redis. For tests there are [Redis] and [StartRedis].
func OpenRedis(ctx context.Context, o RedisOptions) (r *RedisServer, err error) {
	err = withPorts(1, func(ports []int) (err error) {
		r, err = openRedis(ctx, ports[0], o)
		return err
	})
	return r, err
}

// openRedis starts one on a port that is given, with more arguments.
func openRedis(ctx context.Context, port int, o RedisOptions, more ...string) (*RedisServer, error) {
	program, err := findRedis(ctx)
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	r := &RedisServer{Addr: addr(port), dir: dir, port: port, remove: remove}
	// Uncompressed, so that a test which searches a dump for a token finds it if it is there.
	args := []string{"--bind", "127.0.0.1", "--dir", dir, "--save", "", "--rdbcompression", "no", "--repl-diskless-sync-delay", "0"}
	if o.Guarded {
		guard, err := r.guard()
		if err != nil {
			remove()
			return nil, err
		}
		args = append(args, guard...)
	} else {
		args = append(args, "--port", strconv.Itoa(port))
	}
	r.Process, err = Start(ctx, Command{
		Name: "redis " + r.Addr, Path: program, Args: append(args, more...),
		Dir: dir, Log: filepath.Join(dir, "redis.log"), Ready: r.answers,
	})
	if err != nil {
		remove()
		return nil, err
	}
	return r, nil
}

func findRedis(ctx context.Context) (string, error) {
	return packaged{binary{"redis-server", "--version", redisSays}, []string{redisDebian}}.find(ctx)
}

// guard writes the certificates and the access list, and returns the arguments that name them.
func (r *RedisServer) guard() ([]string, error) {
	certs, err := newCertificates(r.dir)
	if err != nil {
		return nil, err
	}
	acl := filepath.Join(r.dir, "users.acl")
	users := fmt.Sprintf(redisACL, redisUser, redisPassword, redisAdmin, redisAdminPassword)
	if err := os.WriteFile(acl, []byte(users), 0o600); err != nil {
		return nil, fmt.Errorf("stack: %w", err)
	}
	r.CACert, r.Username, r.Password = certs.ca.File, redisUser, redisPassword
	return []string{
		"--port", "0", "--tls-port", strconv.Itoa(r.port), "--tls-cert-file", certs.cert, "--tls-key-file", certs.key,
		"--tls-ca-cert-file", certs.ca.File, "--tls-auth-clients", "no", "--aclfile", acl,
	}, nil
}

// Do runs a command as the one who may do everything, by redis-cli, and returns what it prints.
func (r *RedisServer) Do(ctx context.Context, command ...string) (string, error) {
	args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(r.port)}
	if r.CACert != "" {
		args = append(args, "--tls", "--cacert", r.CACert, "--user", redisAdmin, "--pass", redisAdminPassword, "--no-auth-warning")
	}
	out, err := exec.CommandContext(ctx, redisTools, append(args, command...)...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		return "", fmt.Errorf("stack: redis-cli %s: %w: %s", command[0], err, text)
	case strings.HasPrefix(text, "ERR ") || strings.HasPrefix(text, "(error)") || strings.HasPrefix(text, "LOADING"):
		return "", fmt.Errorf("stack: redis-cli %s: %s", command[0], text)
	}
	return text, nil
}

// Call is Do that ends the test on an error.
func (r *RedisServer) Call(t testing.TB, command ...string) string {
	t.Helper()
	out, err := r.Do(t.Context(), command...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Dump returns all that the server holds, as it would stand on a disk, uncompressed.
func (r *RedisServer) Dump(t testing.TB) []byte {
	t.Helper()
	r.Call(t, "SAVE")
	data, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (r *RedisServer) answers(ctx context.Context) error {
	out, err := r.Do(ctx, "PING")
	if err == nil && out != "PONG" {
		err = errors.New(out)
	}
	return err
}

// Stop ends the server and removes its files.
func (r *RedisServer) Stop() error {
	defer r.remove()
	return r.Process.Stop()
}

func (r *RedisServer) processes() []*Process { return []*Process{r.Process} }
