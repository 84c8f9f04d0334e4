package stack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// The environment that decides what may be done about a missing component.
const (
	envStack = "INTERCOM_STACK" // "build" or "install"
	envCI    = "CI"             // "true": build, install, and fail instead of skipping
)

// MissingError says that a component is not there and that nobody allowed to build it.
type MissingError struct {
	// Component is the component with its version.
	Component string
	// Cure is what to do about it.
	Cure string
}

// Error implements error.
func (e *MissingError) Error() string { return e.Component + " is missing: " + e.Cure }

// Binary returns the path of a component's program, such as "vault" or "spire-agent". Where it is missing
// the test is skipped with the cure, or fails when CI=true.
func Binary(t testing.TB, name string) string {
	t.Helper()
	skipShort(t)
	file, err := find(context.Background(), name)
	require(t, err)
	return file
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real component, which -short does without")
	}
}

// require ends the test unless err is nil: skipped when a component is missing, failed otherwise. On CI
// nothing is ever just missing: there it is built, or the build fails.
func require(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if _, missing := errors.AsType[*MissingError](err); missing {
		t.Skip(err)
	}
	t.Fatal(err)
}

func onCI() bool { return os.Getenv(envCI) == "true" }

// may reports whether the environment allows what is asked for: "build", or "install", which includes it.
func may(what string) bool {
	have := os.Getenv(envStack)
	return onCI() || have == "install" || have == what
}

// find looks for a binary on PATH and in the cache, and builds its component where that is allowed.
func find(ctx context.Context, name string) (string, error) {
	c, b, err := lookup(name)
	if err != nil {
		return "", err
	}
	if file := b.onPath(ctx); file != "" {
		return file, nil
	}
	dir, err := c.provide(ctx)
	return filepath.Join(dir, b.name), err
}

// provide returns the component's folder in the cache, and makes it where that is allowed.
func (c component) provide(ctx context.Context) (dir string, err error) {
	if have := os.Getenv(envStack); have != "" && have != "build" && have != "install" {
		return "", fmt.Errorf("stack: %s=%s: want build or install", envStack, have)
	}
	if err := c.equip(ctx); err != nil {
		return "", err
	}
	if dir, err = c.cacheDir(ctx); err != nil || exists(dir) {
		return dir, err
	}
	if !may("build") {
		return "", c.missing(dir)
	}
	return dir, c.build(ctx, dir)
}

func (c component) missing(dir string) error {
	place := "not in " + dir
	if len(c.binaries) > 0 {
		place = "neither on PATH in that version nor in " + dir
	}
	return &MissingError{
		Component: c.name + " " + c.version,
		Cure:      fmt.Sprintf("it is %s; run once with %s=build (%s)", place, envStack, c.cost),
	}
}

// onPath returns where b stands on PATH, and "" when it is not there or is of another version.
func (b binary) onPath(ctx context.Context) string {
	file, err := exec.LookPath(b.name)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, b.ask).CombinedOutput()
	if err != nil || !strings.HasPrefix(strings.TrimSpace(string(out))+" ", b.says) {
		return ""
	}
	return file
}

// cacheDir is where the component's binaries are, or will be.
func (c component) cacheDir(ctx context.Context) (string, error) {
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	key, err := c.key(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, c.name+"-"+key), nil
}

func cacheRoot() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("stack: where to keep the components: %w", err)
	}
	return filepath.Join(dir, "intercom", "stack"), nil
}

// key is the hash of everything that the component is made from. The go command is taken to be the one
// that built this package, which is what `go test` puts first on PATH.
func (c component) key(ctx context.Context) (string, error) {
	files, err := c.sources()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d\n%s", name, len(files[name]), files[name])
	}
	if c.packages != nil {
		fmt.Fprintf(h, "%s %s %s\n%q %q", runtime.Version(), runtime.GOOS, runtime.GOARCH, c.buildFlags(), c.packages)
	}
	if c.keyed != nil {
		answer, err := exec.CommandContext(ctx, c.keyed[0], c.keyed[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("stack: %s: %w", c.keyed, err)
		}
		fmt.Fprintf(h, "%s", answer)
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func (c component) buildFlags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", c.ldflags}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
