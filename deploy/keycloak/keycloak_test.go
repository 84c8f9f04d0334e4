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
	another := w.person(t)
	another.login("alice").claims(t)
	w.logsOut(t, another)
}

func (w *world) userID(t testing.TB, name string) string {
	t.Helper()
	var users []struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/users?exact=true&username="+name, nil, &users)
	if len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	return users[0].ID
}
