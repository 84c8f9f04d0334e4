package keycloak_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestWithoutQuestion: the logout's address has the hint that keeps Keycloak from asking.
func TestWithoutQuestion(t *testing.T) {
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "unasked", nil)
	alice := w.person(t)
	alice.login("alice").Claims(t)
	to, err := url.Parse(alice.Logout())
	must(t, err)
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state"} {
		if to.Query().Get(name) == "" {
			t.Errorf("no %s in %s", name, to.Path)
		}
	}
	another := w.person(t)
	another.login("alice").Claims(t)
	another.LogsOut(nil)
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
