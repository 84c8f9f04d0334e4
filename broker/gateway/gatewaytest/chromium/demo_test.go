package chromium_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestDemo clicks through the page of `intercom dev`, as its output says: on localhost, without TLS.
func TestDemo(t *testing.T) {
	t.Parallel()
	w := &world{browser: stack.Chromium(t)}
	alice := w.person(t)
	alice.open(startDemo(t))
	for _, l := range looks() {
		l.put(alice)
		alice.picture("demo-" + l.String())
	}
	alice.click("#login")
	alice.credentials("alice")
	alice.shown("#who", "You are Alice Example.")
	for call, want := range map[string]string{
		"GET /inventory/items": "200", "GET /crm/customers": "200", "DELETE /crm/customers/7": "403",
	} {
		alice.click(`[data-call="` + call + `"]`)
		alice.shown("#answer", call+"\n"+want)
	}
	alice.do("look at all", chromedp.EmulateViewport(800, 1000))
	alice.picture("demo-alice")
	alice.do("lose the network", network.EmulateNetworkConditions(true, 0, -1, -1))
	alice.click(`[data-call="GET /crm/customers"]`)
	alice.shown("#answer", "GET /crm/customers failed: ")
	alice.click("#logout")
	alice.shown("#who", "The logout failed: ")
	alice.picture("demo-offline")
	alice.do("have it again", network.EmulateNetworkConditions(false, 0, -1, -1))
	second := alice.another()
	second.open(alice.address())
	second.shown("#who", "You are Alice Example.")
	alice.click("#logout")
	for _, b := range []*tab{alice, second} {
		b.shown("#who", "Nobody is logged in.")
	}
	second.picture("demo-ended")
}

// shown waits until an element begins with a text.
func (b *tab) shown(selector, text string) {
	b.t.Helper()
	b.until(selector+" shows "+text, `document.querySelector('`+selector+`')?.textContent.startsWith('`+strings.ReplaceAll(text, "\n", `\n`)+`')`)
}

// startDemo runs the command, and returns the address that it says.
func startDemo(t *testing.T) (address string) {
	t.Helper()
	dir := t.TempDir()
	program, log := filepath.Join(dir, "intercom"), filepath.Join(dir, "log")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../../../cmd/intercom").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	says := regexp.MustCompile(`gateway, for browsers +(http://\S+)`)
	p, err := stack.Start(t.Context(), stack.Command{
		Name: "intercom dev", Path: program, Args: []string{"dev", "--gateway", "127.0.0.1:0", "--sidecar", "127.0.0.1:0"}, Dir: dir, Log: log,
		Ready: func(context.Context) error {
			text, err := os.ReadFile(log)
			found := says.FindSubmatch(text)
			if err == nil && found == nil {
				return errors.New("it has not said where the gateway is")
			} else if err == nil {
				address = string(found[1]) + "/"
			}
			return err
		},
	})
	must(t, err)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return address
}
