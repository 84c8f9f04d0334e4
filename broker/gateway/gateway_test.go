package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// TestWholeGateway: a user logs in once, two services are reached with a token that is each one's own, and after
// the logout neither is.
func TestWholeGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t, 0)
	if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Text, "login_required") {
		t.Fatalf("before the login: %d %s", res.StatusCode, res.Text)
	}
	if res := alice.Navigate("/orders/1"); res.StatusCode != http.StatusFound || !strings.HasPrefix(res.Header.Get("Location"), "/bff/login?") {
		t.Fatalf("a navigation before the login: %d %v", res.StatusCode, res.Header)
	}
	alice.Login("alice")
	t.Run("a token that the broker mints", func(t *testing.T) {
		res := alice.Fetch(http.MethodGet, "/orders/1")
		got := gatewaytest.Said[arrived](t, res)
		actor, _ := got.Claims["act"].(map[string]any)
		if got.Claims["aud"] != "orders" || got.Claims["iss"] != w.Broker.Issuer || actor["sub"] != w.Broker.ID("/gateway").String() {
			t.Errorf("the token: %v", got.Claims)
		}
		if got.Header.Get("Cookie") != "" || res.Header.Get("Intercom-Decision") == "" || res.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%v got %v", res.Header, got.Header)
		}
	})
	t.Run("a token that the provider exchanges", func(t *testing.T) {
		got := gatewaytest.Said[arrived](t, alice.Fetch(http.MethodGet, "/items/7"))
		aud, _ := got.Claims["aud"].([]any)
		if (got.Claims["aud"] != "items-api" && !slices.Contains(aud, any("items-api"))) || got.Claims["iss"] != w.IDP.Issuer() {
			t.Errorf("the token: %v", got.Claims)
		}
	})
	t.Run("policy", func(t *testing.T) {
		bob := w.person(t, 0)
		bob.Login("bob") // who is not in staff
		if res := bob.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusForbidden || !strings.Contains(res.Text, "policy_denied") {
			t.Errorf("%d %s", res.StatusCode, res.Text)
		}
	})
	t.Run("logout", func(t *testing.T) { logsOut(t, w, alice) })
}

func logsOut(t *testing.T, w *world, alice *person) {
	if !alice.State().Authenticated {
		t.Fatal("alice is not logged in")
	}
	if to := alice.Logout(); !strings.HasPrefix(to, w.IDP.Issuer()) {
		t.Errorf("the logout goes on at %q", to)
	}
	if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || alice.Session() != "" {
		t.Errorf("after the logout: %d, cookie %q", res.StatusCode, alice.Session())
	}
}
