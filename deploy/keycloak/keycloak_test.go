package keycloak_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// logout logs out as a page does, and returns where that is to navigate to.
func (p *person) logout() string {
	p.t.Helper()
	var said struct {
		To string `json:"logout_url"`
	}
	must(p.t, json.Unmarshal([]byte(p.fetch(http.MethodPost, "/bff/logout", "X-CSRF-Token", p.state().CSRF).text), &said))
	return said.To
}

func (w *world) logsOut(t *testing.T, alice *person) {
	t.Helper()
	back := alice.navigate(alice.logout())
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

// TestWithoutQuestion: the logout's address has the hint that keeps Keycloak from asking.
func TestWithoutQuestion(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "unasked", nil)
	alice := w.person(t)
	alice.login("alice").claims(t)
	to, err := url.Parse(alice.logout())
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
