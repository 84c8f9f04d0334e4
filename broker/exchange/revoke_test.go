package exchange_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
)

const revokePath = "/oauth2/revoke"

// TestRevocation: introspection and exchange know it at once.
func TestRevocation(t *testing.T) {
	d := newDoor(t)
	raw := d.mint(t, "/orders", "inventory")
	traded := []string{"grant_type", exchange.GrantExchange, "audience", "ledger", "subject_token", raw, "subject_token_type", exchange.TypeAccessToken}
	if a := d.post(t, "/inventory", tokenPath, traded...); a.status != http.StatusOK {
		t.Fatalf("before: %d %s", a.status, a.text)
	}
	a := d.post(t, "/orders", revokePath, "token", raw, "token_type_hint", "nonsense")
	if a.status != http.StatusOK || a.text != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v", a.status, a.text, a.header)
	}
	decision, outcome := d.entries(t, a.header.Get(fault.DecisionHeader))
	if !decision.Allow || decision.Action != "admin" || decision.Resource != "admin/revoke/inventory" || decision.Why != "the token is its own" || outcome.Result != "ok" {
		t.Errorf("the log has %+v and %+v", decision, outcome)
	}
	if a := d.post(t, "/inventory", introspectPath, "token", raw); a.text != inactive {
		t.Errorf("introspection: %s", a.text)
	}
	if a := d.post(t, "/inventory", tokenPath, traded...); a.status != http.StatusBadRequest || a.str("error") != "invalid_request" {
		t.Errorf("exchange: %d %s", a.status, a.text)
	}
	if a := d.post(t, "/orders", revokePath, "token", raw); a.status != http.StatusOK {
		t.Errorf("again: %d %s", a.status, a.text)
	}
	if a := d.post(t, "/inventory", introspectPath, "token", d.mint(t, "/orders", "inventory")); a.json["active"] != true {
		t.Errorf("the next token: %s", a.text)
	}
}

// TestWhoMayRevoke: the client, the subject, and whom policy allows; a deny rule stops all of them.
func TestWhoMayRevoke(t *testing.T) {
	d := newDoor(t)
	delegated := func() string { // of orders, to inventory, for ledger
		return d.post(t, "/inventory", tokenPath, "grant_type", exchange.GrantExchange, "audience", "ledger",
			"subject_token", d.mint(t, "/orders", "inventory"), "subject_token_type", exchange.TypeAccessToken).str("access_token")
	}
	for _, c := range []struct {
		as   string
		raw  string
		may  bool
		rule bool
	}{
		{"/inventory", delegated(), true, false},
		{"/orders", delegated(), true, false},
		{"/auditor", delegated(), true, true},
		{"/ledger", delegated(), false, false}, // may introspect it, and that is another thing
		{"/thief", delegated(), false, false},
		{"/careless", d.mint(t, "/careless", "inventory"), false, true},
	} {
		a := d.post(t, c.as, revokePath, "token", c.raw)
		decision, _ := d.entries(t, a.header.Get(fault.DecisionHeader))
		if c.may != (a.status == http.StatusOK) || !c.may && (a.status != http.StatusBadRequest || a.str("error") != "unauthorized_client") {
			t.Errorf("%s: %d %s", c.as, a.status, a.text)
		}
		if decision.Allow != c.may || (decision.Rule != "") != c.rule {
			t.Errorf("%s: the log has %+v", c.as, decision)
		}
	}
	if a := d.post(t, "", revokePath, "token", delegated()); a.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d %s", a.status, a.text)
	}
}

// TestNothingToRevoke is answered as if there had been (RFC 7009, section 2.2), and is in the log.
func TestNothingToRevoke(t *testing.T) {
	d := newDoor(t)
	for _, raw := range []string{"x", "a.b.c", d.svid(t, "/orders"), d.mint(t, "/orders", "inventory") + "A", strings.Repeat("a", 20<<10)} {
		a := d.post(t, "/thief", revokePath, "token", raw)
		decision, outcome := d.entries(t, a.header.Get(fault.DecisionHeader))
		if a.status != http.StatusOK || decision.Resource != "admin/revoke" || !strings.Contains(decision.Why, "nothing is revoked") || outcome.Result != "ok" {
			t.Errorf("%d %s; the log has %+v", a.status, a.text, decision)
		}
	}
	if a := d.post(t, "/orders", revokePath); a.status != http.StatusBadRequest || a.str("error") != "invalid_request" {
		t.Errorf("no token: %d %s", a.status, a.text)
	}
}
