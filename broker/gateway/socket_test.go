package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// echo says what it hears.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gateway has checked the origin
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, text, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}

// socket opens a WebSocket as a page of that origin does.
func (p *person) socket(path, from string) (*websocket.Conn, *http.Response, error) {
	transport := p.w.transport(0)
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	p.t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	p.t.Cleanup(cancel)
	return websocket.Dial(ctx, origin+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport, Jar: p.http.Jar}, HTTPHeader: http.Header{"Origin": {from}},
	})
}

// hears reads until the WebSocket ends, and returns how.
func hears(t *testing.T, c *websocket.Conn) websocket.CloseError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var told websocket.CloseError
	if _, _, err := c.Read(ctx); !errors.As(err, &told) {
		t.Errorf("it ends with %v", err)
	}
	return told
}

// TestSocketEnds with the session, and with the rule that allowed it, and the page is told which.
func TestSocketEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t, 0)
	alice.login("alice")
	if _, res, err := alice.socket("/orders/socket", "https://evil.test"); err == nil || res.StatusCode != http.StatusForbidden {
		t.Fatalf("a page of another origin: %v", err)
	}
	dial := func() *websocket.Conn {
		t.Helper()
		c, _, err := alice.socket("/orders/socket", origin)
		must(t, err)
		must(t, c.Write(t.Context(), websocket.MessageText, []byte("hello")))
		if _, text, err := c.Read(t.Context()); err != nil || string(text) != "hello" {
			t.Fatalf("%q, %v", text, err)
		}
		return c
	}
	first, second := dial(), dial()
	began := time.Now()
	w.idp.EndSession(t.Context(), "alice")
	if told := hears(t, first); told.Code != 4401 || told.Reason != "session_revoked" {
		t.Errorf("the session ended: %+v", told)
	}
	if took := time.Since(began); took > 5*time.Second { // a second, on a machine of its own
		t.Errorf("it took %s", took)
	}
	hears(t, second)

	alice.login("alice")
	third := dial()
	rules := filepath.Join(w.broker.Dir, "policy", "policy.csv")
	must(t, os.WriteFile(rules, []byte(policyCSV+"p, group:staff, call, service/orders/GET/orders/socket/, deny\n"), 0o600))
	if told := hears(t, third); told.Code != 4403 || told.Reason != "policy_denied" {
		t.Errorf("the path with a slash is denied: %+v", told)
	}
	must(t, os.WriteFile(rules, []byte(policyCSV), 0o600))
	var fourth *websocket.Conn
	every(t, 200*time.Millisecond, "it is allowed again", func() bool {
		var err error
		fourth, _, err = alice.socket("/orders/socket", origin)
		return err == nil
	})
	must(t, os.WriteFile(rules, []byte(strings.Replace(policyCSV, "p, group:staff, call, service/orders/**, allow\n", "", 1)), 0o600))
	if told := hears(t, fourth); told.Code != 4403 || told.Reason != "policy_denied" {
		t.Errorf("the rule is gone: %+v", told)
	}
}
