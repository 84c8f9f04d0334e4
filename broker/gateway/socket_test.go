package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

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
	alice.Login("alice")
	if _, res, err := alice.Socket("/orders/socket", "https://evil.test"); err == nil || res.StatusCode != http.StatusForbidden {
		t.Fatalf("a page of another origin: %v", err)
	}
	dial := func() *websocket.Conn {
		t.Helper()
		c, _, err := alice.Socket("/orders/socket", w.Origin())
		must(t, err)
		must(t, c.Write(t.Context(), websocket.MessageText, []byte("hello")))
		if _, text, err := c.Read(t.Context()); err != nil || string(text) != "hello" {
			t.Fatalf("%q, %v", text, err)
		}
		return c
	}
	first, second := dial(), dial()
	began := time.Now()
	w.IDP.EndSession(t.Context(), "alice")
	if told := hears(t, first); told.Code != 4401 || told.Reason != "session_revoked" {
		t.Errorf("the session ended: %+v", told)
	}
	if took := time.Since(began); took > 5*time.Second { // a second, on a machine of its own
		t.Errorf("it took %s", took)
	}
	hears(t, second)

	alice.Login("alice")
	third := dial()
	const allowed = "p, group:staff, call, service/orders/**, allow\n"
	const denied = allowed + "p, group:staff, call, service/orders/GET/orders/socket/, deny\n"
	w.edit(t, policyFile, allowed, denied)
	if told := hears(t, third); told.Code != 4403 || told.Reason != "policy_denied" {
		t.Errorf("the path with a slash is denied: %+v", told)
	}
	w.edit(t, policyFile, denied, allowed)
	var fourth *websocket.Conn
	gatewaytest.Every(t, 200*time.Millisecond, "it is allowed again", func() bool {
		var err error
		fourth, _, err = alice.Socket("/orders/socket", w.Origin())
		return err == nil
	})
	w.edit(t, policyFile, allowed, "")
	if told := hears(t, fourth); told.Code != 4403 || told.Reason != "policy_denied" {
		t.Errorf("the rule is gone: %+v", told)
	}
}
