package stack_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crypto/tls"

	"github.com/coder/websocket"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestChromium: the browser trusts the authority, finds both sites here and nothing else, and leaves nobody behind.
func TestChromium(t *testing.T) {
	c := stack.StartChromium(t, stack.ChromiumOptions{})
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("<title>opened " + r.Host + "</title>"))
	}))
	site.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, c.Authority, "*."+stack.TestDomain, "*."+stack.ForeignDomain)}}
	site.StartTLS()
	t.Cleanup(site.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(site.URL, "https://"), ":")
	for _, host := range []string{"app." + stack.TestDomain + ":" + port, "app." + stack.ForeignDomain + ":" + port} {
		if got := titleOf(t, c, "https://"+host+"/"); got != "opened "+host {
			t.Errorf("%s: the title is %q", host, got)
		}
	}
	const other = "app.example.org"
	if got := titleOf(t, c, "https://"+other+":"+port+"/"); got != other { // the browser's own error page
		t.Errorf("another name is found: %q", got)
	}
	group := c.PID()
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(30 * time.Second); !errors.Is(syscall.Kill(-group, 0), syscall.ESRCH); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("children of the browser are left")
		}
	}
}

func certificate(t *testing.T, a *stack.Authority, names ...string) tls.Certificate {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := a.Issue(cert, key, names...); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// titleOf opens a page and returns its title, once it has one.
func titleOf(t *testing.T, c *stack.ChromiumBrowser, address string) (title string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d := &devtools{t: t, ctx: ctx}
	conn, _, err := websocket.Dial(ctx, c.Debugger, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	d.conn = conn
	loading := strings.Trim(strings.TrimPrefix(address, "https:"), "/")
	id := d.call("Target.createTarget", map[string]any{"url": address})["targetId"].(string)
	for ctx.Err() == nil {
		info := d.call("Target.getTargetInfo", map[string]any{"targetId": id})["targetInfo"].(map[string]any)
		// Before it is loaded, a page is called by its address, without scheme and slash.
		if title = info["title"].(string); title != "" && title != "about:blank" && !strings.HasPrefix(title, loading) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return title
}

// devtools is the least of the protocol: a call and its answer.
type devtools struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	last int
}

func (d *devtools) call(method string, params map[string]any) map[string]any {
	d.t.Helper()
	d.last++
	text, _ := json.Marshal(map[string]any{"id": d.last, "method": method, "params": params})
	if err := d.conn.Write(d.ctx, websocket.MessageText, text); err != nil {
		d.t.Fatal(err)
	}
	for {
		_, text, err := d.conn.Read(d.ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		var answer struct {
			ID     int
			Result map[string]any
			Error  map[string]any
		}
		if err := json.Unmarshal(text, &answer); err != nil || answer.Error != nil {
			d.t.Fatalf("%v: %s", err, text)
		}
		if answer.ID == d.last {
			return answer.Result
		}
	}
}
