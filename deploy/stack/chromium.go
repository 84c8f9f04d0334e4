package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// ForeignDomain is another site than [TestDomain]: the names below it are this machine too.
const ForeignDomain = "elsewhere.test"

// ChromiumOptions say how a Chromium is started. The zero value treats pages as a new profile does.
type ChromiumOptions struct {
	// Authority vouches for what the browser opens; nil means one of its own.
	Authority *Authority
	// ThirdPartyCookies lets frames of other sites have their cookies.
	ThirdPartyCookies bool
}

// ChromiumBrowser is a running Chromium without a window, with a profile of its own.
type ChromiumBrowser struct {
	// Debugger is the WebSocket of the DevTools protocol, for chromedp.
	Debugger string
	// Authority vouches for what the browser opens.
	Authority *Authority

	*Process

	profile string
	remove  func()
}

// Chromium returns a browser for all tests of the process, which knows one authority. A test keeps to a browser context
// of its own.
func Chromium(t testing.TB) *ChromiumBrowser {
	t.Helper()
	skipShort(t)
	return use(t, "chromium", func(ctx context.Context) (*ChromiumBrowser, error) { return OpenChromium(ctx, ChromiumOptions{}) })
}

// StartChromium starts a browser of the test's own, which ends with the test.
func StartChromium(t testing.TB, o ChromiumOptions) *ChromiumBrowser {
	t.Helper()
	skipShort(t)
	c, err := OpenChromium(context.Background(), o)
	require(t, err)
	stopAfter(t, c)
	return c
}

// chromium is what Debian packages. Its version is whatever the distribution has: users' browsers do not wait either.
func chromium() component {
	return component{name: "chromium", version: "of the distribution", runs: []need{
		{"chromium", []string{"--version"}, []string{"chromium"}},
		{"certutil", nil, []string{"libnss3-tools"}},
	}}
}

// OpenChromium starts a browser. For tests there are [Chromium] and [StartChromium].
func OpenChromium(ctx context.Context, o ChromiumOptions) (*ChromiumBrowser, error) {
	if err := chromium().equip(ctx); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	dir, remove, err := newDir()
	if err != nil {
		return nil, err
	}
	c := &ChromiumBrowser{Authority: o.Authority, profile: filepath.Join(dir, "profile"), remove: remove}
	if err = c.prepare(ctx, dir, o); err == nil {
		c.Process, err = Start(ctx, Command{
			Name: "chromium", Path: program, Args: c.args(), Dir: dir, Log: filepath.Join(dir, "chromium.log"), Ready: c.listens,
		})
	}
	if err != nil {
		remove()
		return nil, err
	}
	return c, nil
}

// args keep it from the network, and from what a person would be asked.
func (c *ChromiumBrowser) args() []string {
	const rules = "MAP *." + TestDomain + " 127.0.0.1,MAP *." + ForeignDomain + " 127.0.0.1,MAP * ~NOTFOUND,EXCLUDE 127.0.0.1,EXCLUDE localhost,EXCLUDE *.localhost"
	args := []string{
		"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-dev-shm-usage", "--log-level=3", "--host-resolver-rules=" + rules, "--user-data-dir=" + c.profile, "--remote-debugging-port=0",
	}
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox") // it refuses to run as root with one
	}
	return append(args, "about:blank")
}

// noControls is a profile whose user has allowed third-party cookies; a new one blocks them.
const noControls = `{"profile":{"cookie_controls_mode":0,"block_third_party_cookies":false}}`

// prepare writes what the browser finds at its first start: whom it trusts, and what its user has chosen.
func (c *ChromiumBrowser) prepare(ctx context.Context, dir string, o ChromiumOptions) (err error) {
	if c.Authority == nil {
		if c.Authority, err = newAuthority(filepath.Join(dir, "ca.pem")); err != nil {
			return err
		}
	}
	nss := filepath.Join(dir, ".pki", "nssdb") // Command.Dir is HOME
	if err := os.MkdirAll(nss, 0o700); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "test", "-t", "C,,", "-i", c.Authority.File}} {
		if out, err := exec.CommandContext(ctx, "certutil", append(args, "-d", "sql:"+nss)...).CombinedOutput(); err != nil {
			return fmt.Errorf("stack: certutil: %w: %s", err, out)
		}
	}
	if !o.ThirdPartyCookies {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(c.profile, "Default"), 0o700); err != nil {
		return fmt.Errorf("stack: %w", err)
	}
	return os.WriteFile(filepath.Join(c.profile, "Default", "Preferences"), []byte(noControls), 0o600)
}

// listens reads where the debugger is: the port is the browser's own choice.
func (c *ChromiumBrowser) listens(context.Context) error {
	text, err := os.ReadFile(filepath.Join(c.profile, "DevToolsActivePort"))
	if err != nil {
		return err
	}
	port, path, ok := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if !ok {
		return errors.New("the file of the debugger's port is not written yet")
	}
	c.Debugger = "ws://127.0.0.1:" + port + path
	return nil
}

// Stop ends the browser with its children, and removes its files.
func (c *ChromiumBrowser) Stop() error {
	defer c.remove()
	err := c.Process.Stop()
	_ = syscall.Kill(-c.PID(), syscall.SIGKILL) // its process group, of whom a few may be slower than the first
	return err
}

func (c *ChromiumBrowser) processes() []*Process { return []*Process{c.Process} }
