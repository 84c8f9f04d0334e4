package runbooks_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// rotated gives Keycloak's realm another key to sign with, and takes the old one away.
func rotated(t *testing.T, k *stack.KeycloakServer) {
	page := open(t, "provider-keys-rotated.md", "well", "removed")
	w := atKeycloak(t, k, "rotated", one(stack.StartRedis(t, stack.RedisOptions{})), func(realm map[string]any) { realm["accessTokenLifespan"] = 20 })
	alice := w.person(t).loggedIn()

	well := &seen{}
	old := w.rotate(t)
	alice.fetches(well, "/files/1")
	if a := w.person(t).login(well); a.StatusCode != http.StatusOK {
		t.Errorf("a login with the new key: %s", a.words())
	}
	gatewaytest.Eventually(t, "the broker mints on tokens of the new key", func() bool { return alice.works("/orders/1") })
	alice.fetches(well, "/orders/1")
	w.intercom(t, well, "doctor --gateway gateway.yaml")
	page.holds("well", well)

	removed := &seen{}
	w.keycloak.Call(t, http.MethodDelete, w.realm+"/components/"+old, nil, nil)
	bob := w.person(t).loggedIn()
	gatewaytest.Eventually(t, "who was in before goes on", func() bool { return alice.works("/files/1") && alice.works("/orders/1") })
	alice.fetches(removed, "/files/1")
	bob.fetches(removed, "/orders/1")
	w.intercom(t, removed, "doctor --gateway gateway.yaml")
	w.endAtKeycloak(t)
	gatewaytest.Eventually(t, "a logout token of the new key is believed", func() bool {
		return strings.Contains(bob.fetches(removed, "/files/1").Text, "session_revoked")
	})
	page.holds("removed", removed)
}

// endAtKeycloak ends all of alice's sessions there, as an administrator does.
func (w *world) endAtKeycloak(t *testing.T) {
	t.Helper()
	var users []struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/users?exact=true&username=alice", nil, &users)
	w.keycloak.Call(t, http.MethodPost, w.realm+"/users/"+users[0].ID+"/logout", nil, nil)
}

// rotate adds a key that comes before all others, and returns the id of the one that signed until now.
func (w *world) rotate(t *testing.T) (old string) {
	t.Helper()
	var realm struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm, nil, &realm)
	var components []struct{ ID, ProviderID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/components?type=org.keycloak.keys.KeyProvider", nil, &components)
	for _, c := range components {
		if c.ProviderID == "rsa-generated" {
			old = c.ID
		}
	}
	w.keycloak.Call(t, http.MethodPost, w.realm+"/components", map[string]any{
		"name": "another", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider", "parentId": realm.ID,
		"config": map[string][]string{"priority": {"200"}, "enabled": {"true"}, "active": {"true"}, "algorithm": {"RS256"}, "keySize": {"2048"}},
	}, nil)
	return old
}

// TestProviderKeysUnseen: a provider that signs with a key that it does not publish yet keeps new logins out until it does, and
// throws nobody out.
func TestProviderKeysUnseen(t *testing.T) {
	t.Parallel()
	page := open(t, "provider-keys-rotated.md", "unseen")
	w := atOurs(t, one(stack.StartRedis(t, stack.RedisOptions{})), openid.Config{AccessLife: tokenLife})
	alice, unseen := w.person(t).loggedIn(), &seen{}
	before := w.IDP.JWKS()
	must(t, w.IDP.RotateKeys())
	w.IDP.Break(openid.PathJWKS, publishes(t, before))
	w.person(t).login(unseen)
	w.refreshed(t, alice)
	alice.fetches(unseen, "/files/1")
	w.logs(unseen)
	page.holds("unseen", unseen)
	w.IDP.Heal()
	gatewaytest.Eventually(t, "logins work again", func() bool { return w.person(t).login(&seen{}).StatusCode == http.StatusOK })
}

// publishes answers with a set of keys, whatever the provider has.
func publishes(t *testing.T, set any) providertest.Fault {
	t.Helper()
	body, err := json.Marshal(set)
	must(t, err)
	return providertest.Raw(body)
}
