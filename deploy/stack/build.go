package stack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// progressEvery is how often somebody who waits for a build hears of it.
const progressEvery = 15 * time.Second

// build makes the component and puts it into dir, all at once. It holds the lock of the cache: one build
// at a time, in all processes.
func (c component) build(ctx context.Context, dir string) error {
	unlock, err := lockCache(ctx, c.name)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(dir) { // the one that we waited for built it
		return nil
	}
	if err := c.meet(ctx, c.needs); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "building-")
	if err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := c.writeSources(work); err != nil {
		return err
	}
	if err := c.make(c, ctx, work); err != nil {
		return err
	}
	// The rename is what says that the folder is complete.
	if err := os.Rename(filepath.Join(work, "bin"), dir); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return nil
}

// writeSources writes what pins the component into work, beside an empty work/bin.
func (c component) writeSources(work string) error {
	files, err := c.sources()
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(work, name), data, 0o600); err != nil {
			return fmt.Errorf("stack: %w", err)
		}
	}
	if err := os.Mkdir(filepath.Join(work, "bin"), 0o755); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return nil
}

// compile builds the wrapper module in work.
func (c component) compile(ctx context.Context, work string) error {
	args := append(append([]string{"build", "-o", "bin/"}, c.buildFlags()...), c.packages...)
	return runTold(ctx, work, c.doing("building"), "go", args...)
}

// doing is what people who wait are told.
func (c component) doing(what string) string {
	return fmt.Sprintf("%s %s: %s (%s)", c.name, c.version, what, c.cost)
}

// runTold runs a command and tells on standard error that it is still running. What the command itself
// says is kept for the error.
func runTold(ctx context.Context, dir, what, name string, args ...string) error {
	defer tell(what)()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	// The parent's flags and workspace are not for the wrapper module.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "DEBIAN_FRONTEND=noninteractive")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("stack: %s: %s: %w\n%s", what, name, err, tail(out.String(), 30))
	}
	return nil
}

// tell prints what goes on, at once and then every progressEvery, until the function that it returns is
// called. It writes to standard error and not to a test's log, which shows only afterwards.
func tell(what string) (done func()) {
	stop, began := make(chan struct{}), time.Now()
	say := func(s string) { fmt.Fprintf(os.Stderr, "stack: %s%s\n", what, s) }
	say("")
	go func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				say(fmt.Sprintf(": %s so far", time.Since(began).Round(time.Second)))
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		say(fmt.Sprintf(": ended after %s", time.Since(began).Round(time.Second)))
	}
}

// equip sees that what the component runs on is there.
func (c component) equip(ctx context.Context) error {
	met := func(n need) bool { return n.met(ctx) }
	if lacks := slices.DeleteFunc(slices.Clone(c.runs), met); len(lacks) == 0 || !may("install") {
		return c.meet(ctx, lacks)
	}
	unlock, err := lockCache(ctx, c.name)
	if err != nil {
		return err
	}
	defer unlock()
	return c.meet(ctx, c.runs)
}

// meet sees that the programs are there, and installs them where it may.
func (c component) meet(ctx context.Context, needs []need) error {
	for _, n := range needs {
		if n.met(ctx) {
			continue
		}
		if !may("install") {
			return &MissingError{
				Component: c.name + " " + c.version,
				Cure:      fmt.Sprintf("it needs %s; apt-get install %s, or run with %s=install", n, strings.Join(n.debian, " "), envStack),
			}
		}
		if err := aptInstall(ctx, n.debian...); err != nil {
			return err
		}
		if !n.met(ctx) {
			return fmt.Errorf("stack: %s: what apt-get installs is not enough: it needs %s", c.name, n)
		}
	}
	return nil
}

func (n need) met(ctx context.Context) bool {
	file, err := exec.LookPath(n.command)
	return err == nil && (n.ask == nil || exec.CommandContext(ctx, file, n.ask...).Run() == nil)
}

// String names the program, and what it must be able to do.
func (n need) String() string {
	if n.ask == nil {
		return n.command
	}
	return fmt.Sprintf("%s that can `%s`", n.command, strings.Join(n.ask, " "))
}

// aptInstall installs Debian packages. Their services are not started by it where a policy-rc.d says so,
// as in containers; nothing here relies on them.
func aptInstall(ctx context.Context, packages ...string) error {
	what := "installing " + strings.Join(packages, " ")
	if err := runTold(ctx, "", what+": list", "apt-get", "update", "-qq"); err != nil {
		return err
	}
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
	return runTold(ctx, "", what, "apt-get", args...)
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
