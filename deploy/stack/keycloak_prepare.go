package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// keycloakPlugin is the part of Maven that fetches one artifact.
const keycloakPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

// prepareKeycloak fetches the distribution, fixes its build options, and starts it once on an empty
// database: the schema and the realm master take longer to make than all that a later start does.
func (c component) prepareKeycloak(ctx context.Context, work string) error {
	archive, err := c.fetch(ctx, work)
	if err != nil {
		return err
	}
	home := filepath.Join(work, "bin")
	if err := runTold(ctx, work, c.doing("unpacking"), "tar", "-xzf", archive, "--strip-components=1", "-C", home); err != nil {
		return err
	}
	// What a server that is called as ours never reads.
	for _, name := range []string{"bin", "themes", "providers", "README.md"} {
		if err := os.RemoveAll(filepath.Join(home, name)); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(work, "keycloak.conf"), filepath.Join(home, "conf", "keycloak.conf")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(home, "providers"), 0o755); err != nil {
		return err
	}
	if err := runTold(ctx, home, c.doing("fixing its options"), "java", keycloakArgs(home, "build")...); err != nil {
		return err
	}
	return c.firstStart(ctx, home)
}

// fetch returns the distribution's archive, in work. Maven's own folder is left alone: it would keep the
// archive for good.
func (c component) fetch(ctx context.Context, work string) (string, error) {
	artifact := "org.keycloak:keycloak-quarkus-dist:" + c.version + ":tar.gz"
	if err := runTold(ctx, work, c.doing("fetching"), "mvn", "-B", "-q", "-Dmaven.repo.local="+filepath.Join(work, "m2"),
		keycloakPlugin+":copy", "-Dartifact="+artifact, "-DoutputDirectory="+work); err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(work, "SHA256SUMS"))
	if err != nil {
		return "", err
	}
	want, name, _ := strings.Cut(strings.TrimSpace(string(sums)), "  ")
	archive := filepath.Join(work, name)
	got, err := sum(archive)
	if err != nil {
		return "", err
	}
	if got != want {
		return "", fmt.Errorf("stack: %s has the SHA-256 %s, want %s", name, got, want)
	}
	return archive, nil
}

func sum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// firstStart leaves the database of a server that was stopped in good order, and nothing else of it.
func (c component) firstStart(ctx context.Context, home string) error {
	defer tell(c.doing("first start"))()
	k := &KeycloakServer{remove: func() {}}
	if err := errors.Join(k.open(ctx, home), k.Stop()); err != nil {
		return err
	}
	made, err := filepath.Glob(filepath.Join(home, "*.pem"))
	if err != nil {
		return err
	}
	made = append(made, filepath.Join(home, "keycloak.log"), filepath.Join(home, "data", "transaction-logs"), filepath.Join(home, "data", "keycloak-truststore.p12"))
	for _, name := range made {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}
