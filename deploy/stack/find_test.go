package stack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// recorder is a testing.TB that keeps what would end the test. Like the real one, it then ends the
// goroutine.
type recorder struct {
	testing.TB
	file, skipped, failed string
}

func (r *recorder) Skip(args ...any)  { r.skipped = fmt.Sprint(args...); runtime.Goexit() }
func (r *recorder) Fatal(args ...any) { r.failed = fmt.Sprint(args...); runtime.Goexit() }

// binary asks for a component as a test would whose environment is as the caller has set it.
func binary(t *testing.T, name string) *recorder {
	t.Helper()
	return asking(t, func(r *recorder) { r.file = stack.Binary(r, name) })
}

// asking runs what would end the test.
func asking(t *testing.T, ask func(*recorder)) *recorder {
	t.Helper()
	r, done := &recorder{TB: t}, make(chan struct{})
	go func() {
		defer close(done)
		ask(r)
	}()
	<-done
	return r
}

// bare leaves nothing in the cache and on PATH, and nothing allowed.
func bare(t *testing.T) (path string) {
	t.Helper()
	if testing.Short() {
		t.Skip("Binary skips before it looks")
	}
	path = t.TempDir()
	t.Setenv("PATH", path)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("INTERCOM_STACK", "")
	t.Setenv("CI", "")
	return path
}

// fake puts a program on PATH that says what it is asked to.
func fake(t *testing.T, dir, name, says string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+says+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestMissingIsSkippedWithTheCure(t *testing.T) {
	bare(t)
	r := binary(t, "spire-agent")
	for _, want := range []string{"spire 1.15.3 is missing", "INTERCOM_STACK=build", os.Getenv("XDG_CACHE_HOME")} {
		if !strings.Contains(r.skipped, want) {
			t.Errorf("skipped with %q, want %q in it", r.skipped, want)
		}
	}
}

func TestOnCIMissingFails(t *testing.T) {
	path := bare(t)
	t.Setenv("CI", "true")
	fake(t, path, "go", "echo no network; exit 1")
	r := binary(t, "vault")
	if r.skipped != "" || !strings.Contains(r.failed, "no network") {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "intercom/stack/*")); len(left) != 1 {
		t.Errorf("a failed build leaves more than its lock: %q", left)
	}
}

func TestPATHOnlyInThatVersion(t *testing.T) {
	path := bare(t)
	fake(t, path, "vault", `[ "$1" = version ] && echo "Vault v1.14.10 (cgo)"`)
	if r := binary(t, "vault"); r.skipped == "" {
		t.Errorf("took another version: %q", r.file)
	}
	file := fake(t, path, "vault", `[ "$1" = version ] && echo "Vault v1.14.1 (cgo)"`)
	if r := binary(t, "vault"); r.file != file {
		t.Errorf("got %q, skipped %q", r.file, r.skipped)
	}
	file = fake(t, path, "spire-agent", `[ "$1" = --version ] && echo 1.15.3 >&2`)
	if r := binary(t, "spire-agent"); r.file != file {
		t.Errorf("got %q, skipped %q", r.file, r.skipped)
	}
}

// TestBuild builds with a go command that only pretends, in two goroutines at once.
func TestBuild(t *testing.T) {
	path := bare(t)
	count := filepath.Join(t.TempDir(), "builds")
	fake(t, path, "gcc", "")
	fake(t, path, "go", `PATH=/usr/bin:/bin; set -e
[ -f go.mod ] && [ -f go.sum ] && [ "$GOFLAGS" = -mod=readonly ] && [ "$GOWORK" = off ]
sleep 0.3; echo x >>`+count+`; touch bin/spire-server bin/spire-agent`)
	t.Setenv("INTERCOM_STACK", "build")
	results := make(chan *recorder)
	for _, name := range []string{"spire-server", "spire-agent"} {
		go func() { results <- binary(t, name) }()
	}
	for range 2 {
		r := <-results
		if _, err := os.Stat(r.file); err != nil || r.failed != "" {
			t.Errorf("got %q (%v), failed %q", r.file, err, r.failed)
		}
	}
	if got := readFile(t, count); got != "x\n" {
		t.Errorf("built %d times", len(got)/2)
	}
	t.Setenv("INTERCOM_STACK", "")
	if r := binary(t, "spire-server"); r.file == "" {
		t.Errorf("not found in the cache afterwards: %s", r.skipped)
	}
}

func TestBuildNeeds(t *testing.T) {
	path := bare(t)
	t.Setenv("INTERCOM_STACK", "build")
	if r := binary(t, "spire-server"); !strings.Contains(r.skipped, "apt-get install gcc libc6-dev") {
		t.Errorf("without a C compiler: skipped %q, failed %q", r.skipped, r.failed)
	}
	fake(t, path, "apt-get", `echo "apt-get $*" >&2; exit 7`)
	t.Setenv("INTERCOM_STACK", "install")
	if r := binary(t, "spire-server"); !strings.Contains(r.failed, "apt-get update") {
		t.Errorf("with leave to install: skipped %q, failed %q", r.skipped, r.failed)
	}
}

// TestNeedsThatWillNotDo has programs that are there, and not what it takes.
func TestNeedsThatWillNotDo(t *testing.T) {
	path := bare(t)
	fake(t, path, "node", "exit 1")
	node := func(r *recorder) { stack.Node(r, "s.mjs") }
	if r := asking(t, node); !strings.Contains(r.skipped, "apt-get install nodejs") || !strings.Contains(r.skipped, "URL.parse") {
		t.Errorf("an old Node: skipped %q, failed %q", r.skipped, r.failed)
	}
	fake(t, path, "apt-get", "exit 0")
	t.Setenv("INTERCOM_STACK", "install")
	if r := asking(t, node); !strings.Contains(r.failed, "not enough") {
		t.Errorf("when apt-get has none: skipped %q, failed %q", r.skipped, r.failed)
	}
	fake(t, path, "python3", `[ "$2" != "import ensurepip" ]`)
	t.Setenv("INTERCOM_STACK", "build")
	if r := asking(t, func(r *recorder) { stack.Python(r, "s.py") }); !strings.Contains(r.skipped, "python3-venv") {
		t.Errorf("a Python without venv: skipped %q, failed %q", r.skipped, r.failed)
	}
}

// TestAnotherInterpreterAnotherEnvironment: what one Python made is not for the next.
func TestAnotherInterpreterAnotherEnvironment(t *testing.T) {
	path := bare(t)
	where := map[string]bool{}
	for _, version := range []string{"3.11.7 /usr", "3.12.1 /usr", "3.12.1 /usr"} {
		fake(t, path, "python3", "echo "+version)
		where[asking(t, func(r *recorder) { stack.Python(r, "s.py") }).skipped] = true
	}
	if len(where) != 2 || where[""] {
		t.Errorf("%d environments for 2 interpreters: %v", len(where), where)
	}
}

// TestArchiveIsNotTheOneThatIsPinned has a registry that serves something else.
func TestArchiveIsNotTheOneThatIsPinned(t *testing.T) {
	path := bare(t)
	t.Setenv("INTERCOM_STACK", "build")
	fake(t, path, "java", "")
	fake(t, path, "tar", "exit 9")
	fake(t, path, "mvn", `for a; do case $a in -DoutputDirectory=*) echo planted >"${a#*=}/keycloak-quarkus-dist-26.7.3.tar.gz"; esac; done`)
	r := asking(t, func(r *recorder) { stack.StartKeycloak(r, stack.KeycloakOptions{}) })
	if !strings.Contains(r.failed, "has the SHA-256") {
		t.Errorf("skipped %q, failed %q", r.skipped, r.failed)
	}
}

func TestRefused(t *testing.T) {
	bare(t)
	if r := binary(t, "vaultt"); !strings.Contains(r.failed, `"vaultt"`) {
		t.Errorf("an unknown binary: %+v", r)
	}
	t.Setenv("INTERCOM_STACK", "yes")
	if r := binary(t, "vault"); !strings.Contains(r.failed, "want build or install") {
		t.Errorf("an unknown word: %+v", r)
	}
}

// TestSweep plants what a killed test binary leaves, and what a living one has.
func TestSweep(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Vault")
	}
	tmp := shortTemp(t)
	t.Setenv("TMPDIR", tmp)
	alive := stack.StartVault(t, stack.VaultOptions{}) // first: where it is built, what is planted before it would be old by then
	dead, foreign := filepath.Join(tmp, "icst-dead"), filepath.Join(tmp, "icst-foreign")
	for _, dir := range []string{dead, foreign} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "owner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dead, foreign, filepath.Dir(alive.CACert)} {
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	stack.StartVault(t, stack.VaultOptions{})
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("what a dead one left is still there: %v", err)
	}
	for _, dir := range []string{foreign, filepath.Dir(alive.CACert)} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

// shortTemp is t.TempDir for sockets.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
