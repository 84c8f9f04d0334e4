package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// TestWholeGateway: a user logs in once, two services are reached with a token that is each one's own, and after
// the logout neither is.
func TestWholeGateway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t, 0)
	if res := alice.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.text, "login_required") {
		t.Fatalf("before the login: %d %s", res.StatusCode, res.text)
	}
	if res := alice.navigate("/orders/1"); res.StatusCode != http.StatusFound || !strings.HasPrefix(res.Header.Get("Location"), "/bff/login?") {
		t.Fatalf("a navigation before the login: %d %v", res.StatusCode, res.Header)
	}
	alice.login("alice")
	t.Run("a token that the broker mints", func(t *testing.T) {
		res := alice.fetch(http.MethodGet, "/orders/1")
		got := res.arrived(t)
		actor, _ := got.Claims["act"].(map[string]any)
		if got.Claims["aud"] != "orders" || got.Claims["iss"] != w.broker.Issuer || actor["sub"] != w.broker.ID("/gateway").String() {
			t.Errorf("the token: %v", got.Claims)
		}
		if got.Header.Get("Cookie") != "" || res.Header.Get("Intercom-Decision") == "" || res.Header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%v got %v", res.Header, got.Header)
		}
	})
	t.Run("a token that the provider exchanges", func(t *testing.T) {
		got := alice.fetch(http.MethodGet, "/items/7").arrived(t)
		aud, _ := got.Claims["aud"].([]any)
		if (got.Claims["aud"] != "items-api" && !slices.Contains(aud, any("items-api"))) || got.Claims["iss"] != w.idp.Issuer() {
			t.Errorf("the token: %v", got.Claims)
		}
	})
	t.Run("policy", func(t *testing.T) {
		bob := w.person(t, 0)
		bob.login("bob") // who is not in staff
		if res := bob.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusForbidden || !strings.Contains(res.text, "policy_denied") {
			t.Errorf("%d %s", res.StatusCode, res.text)
		}
	})
	t.Run("logout", func(t *testing.T) { logsOut(t, w, alice) })
}

func logsOut(t *testing.T, w *world, alice *person) {
	var state struct {
		Authenticated bool   `json:"authenticated"`
		CSRF          string `json:"csrf_token"`
	}
	must(t, json.Unmarshal([]byte(alice.fetch(http.MethodGet, "/bff/session").text), &state))
	if !state.Authenticated {
		t.Fatal("alice is not logged in")
	}
	out := alice.fetch(http.MethodPost, "/bff/logout", bff.HeaderCSRF+": "+state.CSRF)
	var said struct {
		LogoutURL string `json:"logout_url"`
	}
	if err := json.Unmarshal([]byte(out.text), &said); err != nil || !strings.HasPrefix(said.LogoutURL, w.idp.Issuer()) {
		t.Errorf("logout: %d %s", out.StatusCode, out.text)
	}
	if res := alice.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || alice.session() != "" {
		t.Errorf("after the logout: %d, cookie %q", res.StatusCode, alice.session())
	}
}
