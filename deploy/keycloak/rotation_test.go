package keycloak_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestNewKeysOfKeycloak: a realm signs with a new key, and nobody notices: not who is logged in, who logs in, nor who is
// logged out, at either gateway; services of ours verify what is signed with it. Later the old key is taken away.
func TestNewKeysOfKeycloak(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "signed", func(realm map[string]any) { realm["accessTokenLifespan"] = 5 })
	s := w.services(t)
	alice, carol := w.person(t), w.person(t)
	alice.login("alice").Claims(t)
	carol.login("alice").Claims(t)
	before, _ := s.takes(t, alice)
	old := w.keyComponents(t)
	w.newKey(t)
	rotated := time.Now()
	gatewaytest.Eventually(t, "no token of before is left", func() bool {
		kid, _ := s.takes(t, alice)
		s.takes(t, carol)
		return kid != before && time.Since(rotated) > 6*time.Second
	})
	for _, g := range w.Gateways {
		w.Front.Lead(g.Front)
		p := w.person(t)
		p.login("alice").Claims(t)
		s.takes(t, p)
		k.Call(t, http.MethodDelete, w.realm+"/sessions/"+p.sid(t), nil, nil)
		gatewaytest.Eventually(t, "a logout token that is signed with the new key counts", func() bool { return !p.State().Authenticated })
	}
	for _, id := range old {
		k.Call(t, http.MethodDelete, w.realm+"/components/"+id, nil, nil)
	}
	alice.LogsOut(nil)
	late := w.person(t)
	late.login("alice").Claims(t)
	s.takes(t, late)
	s.takes(t, carol)
}

// services verify as ours do: files what Keycloak issued, orders what the broker minted.
type services struct {
	files  *authn.Users
	orders token.Verifier
}

func (w *world) services(t *testing.T) *services {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.keycloak.Authority.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)
	files, err := authn.NewUsers(authn.Issuer{URL: w.keycloak.Issuer(w.realm), Audience: []string{"files"}, Client: client})
	must(t, err)
	keys := token.RemoteKeys(http.DefaultClient, w.Broker.Issuer+"/oauth2/jwks")
	return &services{files, token.Verifier{Issuer: w.Broker.Issuer, Audience: "orders", Keys: keys}}
}

// takes has p call both services, which verify what they got, and returns the key that Keycloak has signed with.
func (s *services) takes(t *testing.T, p *person) (kid string, minted token.Claims) {
	t.Helper()
	raw := fmt.Sprint(p.Fetch(http.MethodGet, "/files/1").Claims(t)["raw"])
	user, err := s.files.FromAccessToken(t.Context(), p.w.keycloak.Issuer(p.w.realm), raw)
	must(t, err)
	minted, err = s.orders.VerifyWithoutPossession(t.Context(), fmt.Sprint(p.Fetch(http.MethodGet, "/orders/1").Claims(t)["raw"]))
	must(t, err)
	if minted.User == nil || minted.User.Subject != user.Subject {
		t.Errorf("files know %+v, orders %+v", user, minted.User)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
	must(t, err)
	return fmt.Sprint(parsed.Header["kid"]), minted
}

// sid is the person's session at Keycloak.
func (p *person) sid(t *testing.T) string {
	t.Helper()
	return fmt.Sprint(p.Fetch(http.MethodGet, "/files/1").Claims(t)["sid"])
}

// keyComponents are the ids of what makes the realm's signing keys.
func (w *world) keyComponents(t *testing.T) (ids []string) {
	t.Helper()
	var found []struct{ ID, ProviderID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/components?type=org.keycloak.keys.KeyProvider", nil, &found)
	for _, c := range found {
		if c.ProviderID == "rsa-generated" {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		t.Fatalf("components: %+v", found)
	}
	return ids
}

// newKey has the realm sign with a new key from now on; the old one verifies.
func (w *world) newKey(t *testing.T) {
	t.Helper()
	var realm struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm, nil, &realm)
	w.keycloak.Call(t, http.MethodPost, w.realm+"/components", map[string]any{
		"name": "next", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider", "parentId": realm.ID,
		"config": map[string][]string{"priority": {"200"}, "keySize": {"2048"}, "active": {"true"}, "enabled": {"true"}},
	}, nil)
}
