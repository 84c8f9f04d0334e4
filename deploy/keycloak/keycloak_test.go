package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestRealm: the file is enough for a login, for each way to a service, and for a logout at both ends without a question.
func TestRealm(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "staff", nil)
	alice := w.person(t)
	if res := alice.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.text, "login_required") {
		t.Fatalf("before the login: %s %s", res.Status, res.text)
	}
	minted := alice.login("alice").claims(t)
	if actor, _ := minted["act"].(map[string]any); minted["aud"] != "orders" || minted["iss"] != w.Broker.Issuer || actor["sub"] != w.Broker.ID("/gateway").String() {
		t.Errorf("what the broker mints: %v", minted)
	}
	if got := alice.fetch(http.MethodGet, "/files/1").claims(t); got["aud"] != "files" || got["iss"] != k.Issuer("staff") || got["azp"] != "intercom-gateway" {
		t.Errorf("what Keycloak exchanges: %v", got)
	}
	if s := alice.state(); !s.Authenticated || s.Claims["preferred_username"] != "alice" {
		t.Errorf("the session: %+v", s)
	}
	bob := w.person(t)
	if res := bob.login("bob"); res.StatusCode != http.StatusForbidden || !strings.Contains(res.text, "policy_denied") {
		t.Errorf("bob is not in staff: %s %.300s", res.Status, res.text)
	}
	w.logsOut(t, alice)
}

func (w *world) logsOut(t *testing.T, alice *person) {
	t.Helper()
	var said struct {
		To string `json:"logout_url"`
	}
	must(t, json.Unmarshal([]byte(alice.fetch(http.MethodPost, "/bff/logout", "X-CSRF-Token", alice.state().CSRF).text), &said))
	back := alice.navigate(said.To)
	if back.Request.URL.String() != w.Origin()+"/" { // where nothing is in this world, but for the way back
		t.Errorf("Keycloak leads to %s: %s %.300s", back.Request.URL, back.Status, back.text)
	}
	if alice.state().Authenticated {
		t.Error("alice is still logged in here")
	}
	if form := alice.navigate("/bff/login"); !strings.Contains(form.text, `name="password"`) {
		t.Errorf("alice is still logged in at Keycloak: %s", form.Request.URL)
	}
}

// TestAdminEndsTheSession: Keycloak tells one gateway, and the session is over at both.
func TestAdminEndsTheSession(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "ended", nil)
	alice := w.person(t)
	alice.login("alice").claims(t)
	k.Call(t, http.MethodPost, "ended/users/"+w.userID(t, "alice")+"/logout", nil, nil)
	for _, g := range w.Gateways {
		w.Front.Lead(g.Front)
		alice.http.CloseIdleConnections()
		gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.state().Authenticated })
		if res := alice.fetch(http.MethodGet, "/files/1"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s", res.Status, res.text)
		}
	}
}

// TestDisabledUser: Keycloak tells nobody of it; the next refresh does.
func TestDisabledUser(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "disabled", func(realm map[string]any) { realm["accessTokenLifespan"] = 5 })
	alice := w.person(t)
	alice.login("alice").claims(t)
	k.Call(t, http.MethodPut, "disabled/users/"+w.userID(t, "alice"), map[string]any{"enabled": false}, nil)
	gatewaytest.Eventually(t, "the refresh ends the session", func() bool {
		res := alice.fetch(http.MethodGet, "/files/1")
		return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.text, "session_")
	})
}

// TestRotation: with rotated refresh tokens, of which a second use would end the session, many requests at both gateways
// are one refresh.
func TestRotation(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "rotated", func(realm map[string]any) {
		realm["revokeRefreshToken"], realm["refreshTokenMaxReuse"], realm["accessTokenLifespan"] = true, 0, 5
	})
	alice := w.person(t)
	alice.login("alice").claims(t)
	began := alice.fetch(http.MethodGet, "/files/1").claims(t)["iat"]
	gatewaytest.Eventually(t, "the tokens were refreshed", func() bool {
		results := make(chan answer, 20)
		for range cap(results) {
			go func() { results <- alice.fetch(http.MethodGet, "/files/1") }()
		}
		later := false
		for range cap(results) {
			later = (<-results).claims(t)["iat"].(float64) > began.(float64)+6 || later
		}
		return later
	})
}

// TestPublishedKeys: without a secret anywhere, each gateway proves itself with a key that Keycloak fetches from them.
func TestPublishedKeys(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "keys", func(realm map[string]any) {
		client := realm["clients"].([]any)[0].(map[string]any)
		delete(client, "secret")
		client["clientAuthenticatorType"] = "client-jwt"
		attributes := client["attributes"].(map[string]any)
		attributes["use.jwks.url"] = "true"
		attributes["jwks.url"] = strings.TrimSuffix(attributes["backchannel.logout.url"].(string), "backchannel-logout") + "jwks"
	})
	alice := w.person(t)
	for _, g := range w.Gateways {
		w.Front.Lead(g.Front)
		alice.http.CloseIdleConnections()
		if got := alice.login("alice").claims(t); got["aud"] != "orders" {
			t.Errorf("%v", got)
		}
		w.logsOut(t, alice)
	}
}

// TestKeycloakAway: who is logged in is served with the tokens that there are, what needs Keycloak is told to wait, nobody
// is logged out, and nothing has to be restarted when it is back.
func TestKeycloakAway(t *testing.T) {
	k := stack.StartKeycloak(t, stack.KeycloakOptions{})
	w := newWorld(t, k, "away", nil)
	w.Front.Lead(w.Gateways[0].Front) // which has the token for orders
	alice := w.person(t)
	alice.login("alice").claims(t)
	must(t, k.Pause())
	alice.fetch(http.MethodGet, "/orders/1").claims(t)
	res := alice.fetch(http.MethodGet, "/files/1")
	must(t, k.Resume())
	if res.StatusCode != http.StatusServiceUnavailable && res.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%s %s", res.Status, res.text)
	}
	if !alice.state().Authenticated {
		t.Error("alice was logged out")
	}
	gatewaytest.Eventually(t, "it goes on", func() bool { return alice.fetch(http.MethodGet, "/files/1").StatusCode == http.StatusOK })
}

// TestWithoutQuestion: the logout's address has the hint that keeps Keycloak from asking.
func TestWithoutQuestion(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "unasked", nil)
	alice := w.person(t)
	alice.login("alice").claims(t)
	var said struct {
		To string `json:"logout_url"`
	}
	must(t, json.Unmarshal([]byte(alice.fetch(http.MethodPost, "/bff/logout", "X-CSRF-Token", alice.state().CSRF).text), &said))
	to, err := url.Parse(said.To)
	must(t, err)
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if to.Query().Get(name) == "" {
			t.Errorf("no %s in %s", name, to.Path)
		}
	}
}

func (w *world) userID(t *testing.T, name string) string {
	t.Helper()
	var users []struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/users?exact=true&username="+name, nil, &users)
	if len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	return users[0].ID
}
