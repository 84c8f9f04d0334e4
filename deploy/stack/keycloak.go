package stack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// KeycloakOptions say what a Keycloak is started with.
type KeycloakOptions struct {
	// Realm is the file of a realm in Keycloak's JSON, which is imported at the start. Empty means that
	// there is the realm master only.
	Realm string
}

// KeycloakServer is a running Keycloak. It keeps nothing: each starts with the same empty database.
type KeycloakServer struct {
	// Addr is its URL, such as https://127.0.0.1:20001.
	Addr string
	// CACert is the file of the CA that Addr's certificate is verified with.
	CACert string
	// Authority vouches for it, and for those that it calls: for a client's backchannel_logout_uri.
	Authority *Authority

	*Process

	client *http.Client
	remove func()
	making sync.Mutex // of realms
}

// OpenKeycloak starts a Keycloak. For tests there are [Keycloak] and [StartKeycloak].
func OpenKeycloak(ctx context.Context, o KeycloakOptions) (*KeycloakServer, error) {
	kept, err := named("keycloak").provide(ctx)
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	k := &KeycloakServer{remove: remove}
	if err = furnish(dir, kept, o.Realm); err == nil {
		err = k.open(ctx, dir)
	}
	if err != nil {
		_ = k.Stop()
		return nil, err
	}
	return k, nil
}

// furnish makes dir the home of a server: the programs are the kept ones, the database is a copy.
func furnish(dir, kept, realm string) error {
	if err := os.CopyFS(filepath.Join(dir, "data", "h2"), os.DirFS(filepath.Join(kept, "data", "h2"))); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, hostsFile), []byte(hosts()), 0o600); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	for _, name := range []string{"lib", "conf"} {
		if err := os.Symlink(filepath.Join(kept, name), filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("stack: %w", err)
		}
	}
	imports := filepath.Join(dir, "data", "import")
	err := errors.Join(os.Mkdir(imports, 0o700), os.Mkdir(filepath.Join(dir, "providers"), 0o700))
	if realm != "" {
		data, unread := os.ReadFile(realm)
		err = errors.Join(err, unread, os.WriteFile(filepath.Join(imports, "realm.json"), data, 0o600))
	}
	return err
}

func (k *KeycloakServer) open(ctx context.Context, home string) error {
	certs, err := newCertificates(home)
	if err != nil {
		return err
	}
	k.CACert, k.Authority = certs.ca.File, certs.ca
	if k.client, err = newHTTPClient(certs.ca.File); err != nil {
		return err
	}
	return withPorts(2, func(ports []int) (err error) {
		k.Addr = "https://" + addr(ports[0])
		k.Process, err = Start(ctx, Command{
			Name: "keycloak", Path: "java", Dir: home, Log: filepath.Join(home, "keycloak.log"), Env: keycloakEnv(home),
			Args: keycloakArgs(home, "start", "--optimized", "--import-realm",
				fmt.Sprintf("--https-port=%d", ports[0]), fmt.Sprintf("--http-management-port=%d", ports[1]),
				"--https-certificate-file="+certs.cert, "--https-certificate-key-file="+certs.key, "--truststore-paths="+certs.ca.File),
			// It listens long before it is ready.
			Ready: func(ctx context.Context) error { return k.answers(ctx, "https://"+addr(ports[1])+"/health/ready") },
			// Ten seconds on an idle machine, and each busy one multiplies them.
			Within: 5 * time.Minute,
		})
		return err
	})
}

func (k *KeycloakServer) answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// Stop ends the server and removes its files.
func (k *KeycloakServer) Stop() error {
	defer k.remove()
	if k.Process == nil {
		return nil
	}
	return k.Process.Stop()
}

func (k *KeycloakServer) processes() []*Process { return []*Process{k.Process} }

// The administrator of the realm master. The database is kept with it, so it is no secret.
const keycloakAdmin, keycloakPassword = "admin", "admin"

func keycloakEnv(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home,
		"KC_BOOTSTRAP_ADMIN_USERNAME=" + keycloakAdmin, "KC_BOOTSTRAP_ADMIN_PASSWORD=" + keycloakPassword,
	}
}

// keycloakArgs are what kc.sh calls java with. The shell is left out, since it would take the signals
// that are meant for java. The first compiler alone halves the start.
func keycloakArgs(home string, command ...string) []string {
	args := []string{
		"-Xms64m", "-Xmx512m", "-XX:MaxMetaspaceSize=256m", "-XX:+ExitOnOutOfMemoryError", "-XX:TieredStopAtLevel=1",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
		"--add-opens=java.base/java.security=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"--enable-native-access=ALL-UNNAMED", "-Duser.language=en", "-Duser.country=US",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Djdk.net.hosts.file=" + filepath.Join(home, hostsFile), // which it calls clients by
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager", "-Dpicocli.disable.closures=true",
		"-Dkc.home.dir=" + home, "-Djboss.server.config.dir=" + filepath.Join(home, "conf"),
		"-cp", filepath.Join(home, "lib", "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
	}
	return append(args, command...)
}
