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
	must(p.t, json.Unmarshal([]byte(p.Fetch(http.MethodPost, "/bff/logout", "X-CSRF-Token", p.State().CSRF).Text), &said))
	return said.To
}

func (w *world) logsOut(t *testing.T, alice *person) {
	t.Helper()
	back := alice.Navigate(alice.logout())
	if back.Request.URL.String() != w.Origin()+"/" { // where nothing is in this world, but for the way back
		t.Errorf("Keycloak leads to %s: %s %.300s", back.Request.URL, back.Status, back.Text)
	}
	if alice.State().Authenticated {
		t.Error("alice is still logged in here")
	}
	if form := alice.Navigate("/bff/login"); !strings.Contains(form.Text, `name="password"`) {
		t.Errorf("alice is still logged in at Keycloak: %s", form.Request.URL)
	}
}

// TestWithoutQuestion: the logout's address has the hint that keeps Keycloak from asking.
func TestWithoutQuestion(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "unasked", nil)
	alice := w.person(t)
	alice.login("alice").Claims(t)
	to, err := url.Parse(alice.logout())
	must(t, err)
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if to.Query().Get(name) == "" {
			t.Errorf("no %s in %s", name, to.Path)
		}
	}
	another := w.person(t)
	another.login("alice").Claims(t)
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
