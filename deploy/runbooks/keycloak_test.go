package runbooks_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestKeycloak plays what happens to a Keycloak, on one of its own: it is stopped.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	k := stack.StartKeycloak(t, stack.KeycloakOptions{})
	t.Run("keys", func(t *testing.T) { rotated(t, k) })
	t.Run("upgraded", func(t *testing.T) { upgraded(t, k) })
}

// upgraded ends Keycloak and starts it again on its database, as an upgrade does, and then as one does that forgets the
// sessions.
func upgraded(t *testing.T, k *stack.KeycloakServer) {
	page := open(t, "keycloak-upgraded.md")
	w := atKeycloak(t, k, "upgraded", one(stack.StartRedis(t, stack.RedisOptions{})), func(realm map[string]any) { realm["accessTokenLifespan"] = 25 })
	alice := w.person(t).at(0).loggedIn()
	if !alice.works("/orders/1") {
		t.Fatal("no token was minted")
	}
	must(t, k.Process.Stop())

	served := &seen{}
	alice.fetches(served, "/orders/1")
	page.holds("served", served)

	away := &seen{}
	alice.at(1).fetches(away, "/orders/1")
	alice.opens(away, "/files/1")
	alice.fetches(away, "/bff/session")
	w.person(t).opens(away, "/bff/login")
	w.says(t, away, `"provider":"the login provider does not answer`)
	w.intercom(t, away, "doctor --gateway gateway.yaml")
	gatewaytest.Eventually(t, "the tokens that there are end", func() bool { return !alice.at(0).works("/orders/1") })
	w.logs(away)
	page.holds("away", away)

	back := &seen{}
	must(t, k.Process.Start(t.Context()))
	gatewaytest.Eventually(t, "it goes on", func() bool { return alice.works("/files/1") })
	for _, path := range []string{"/files/1", "/orders/1"} {
		alice.fetches(back, path)
	}
	if a := alice.login(back); a.asked {
		t.Error("Keycloak asks for a password again")
	}
	w.says(t, back, `"provider":"ok"`)
	page.holds("back", back)

	forgot := &seen{}
	k.Call(t, http.MethodPost, "upgraded/logout-all", nil, nil)
	gatewaytest.Eventually(t, "the gateways find out", func() bool {
		return strings.Contains(alice.fetches(forgot, "/files/1").Text, "session_expired")
	})
	if a := alice.login(forgot); !a.asked || a.StatusCode != http.StatusOK {
		t.Errorf("the login: %s", a.words())
	}
	w.logs(forgot)
	page.holds("forgot", forgot)

	renamed := &seen{}
	k.Call(t, http.MethodPut, "upgraded", map[string]string{"realm": "other"}, nil)
	w.says(t, renamed, `the provider answered 404`)
	w.person(t).opens(renamed, "/bff/login")
	w.intercom(t, renamed, "doctor --gateway gateway.yaml")
	w.logs(renamed)
	page.holds("renamed", renamed)
}
