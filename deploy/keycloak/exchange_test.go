package keycloak_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/deploy/stack"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// TestInvalidRequestHasTwoMeanings: Keycloak says invalid_request of an audience that a client may not have, and of a
// session that is gone. The first ends no session, the second does; and it says invalid_client of an audience that does not
// exist, which has nothing to do with the client.
func TestInvalidRequestHasTwoMeanings(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "words", func(realm map[string]any) {
		realm["clients"] = append(realm["clients"].([]any), map[string]any{"clientId": "lost", "bearerOnly": true})
	})
	alice := w.person(t)
	alice.login("alice").Claims(t)
	for path, audience := range map[string]string{"/lost/1": "lost", "/nowhere/1": "nowhere"} {
		var said struct{ Code, Audience, Reason string }
		res := alice.Fetch(http.MethodGet, path)
		must(t, json.Unmarshal([]byte(res.Text), &said))
		if res.StatusCode != http.StatusBadGateway || said.Code != "token_exchange_failed" || said.Audience != audience || said.Reason == "" {
			t.Errorf("%s: %s %s", path, res.Status, res.Text)
		}
	}
	if !alice.State().Authenticated {
		t.Fatal("alice was logged out for an audience")
	}
	k.Call(t, http.MethodPost, "words/logout-all", nil, nil) // of which it tells nobody
	gatewaytest.Eventually(t, "the refused exchange is looked into", func() bool {
		res := alice.Fetch(http.MethodGet, "/files/1")
		if res.StatusCode == http.StatusOK {
			t.Fatal("Keycloak exchanges tokens of a session that is gone")
		}
		return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Text, "session_expired")
	})
}

// TestThroughTheBroker: what a user of Keycloak's may becomes a token for one service, which names the user as Keycloak
// does, and the gateway as who acts; that one is a subject token in turn, and the chain of who acts grows.
func TestThroughTheBroker(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	w := newWorld(t, k, "chain", nil)
	alice, s := w.person(t), w.services(t)
	alice.login("alice").Claims(t)
	_, got := s.takes(t, alice)
	user := &token.User{Issuer: k.Issuer("chain"), Subject: w.userID(t, "alice")}
	byGateway := &token.Actor{Subject: w.Broker.ID("/gateway").String()}
	w.says(t, "orders", got, user, byGateway)

	raw := alice.Fetch(http.MethodGet, "/orders/1").Claims(t)["raw"].(string)
	traded, err := w.Broker.Client(t, "/orders").Exchange(t.Context(), &intercomv1.ExchangeRequest{
		SubjectToken: raw, SubjectTokenType: "urn:ietf:params:oauth:token-type:access_token", Audience: []string{"inventory"},
	})
	must(t, err)
	inventory := s.orders
	inventory.Audience = "inventory"
	got, err = inventory.VerifyWithoutPossession(t.Context(), traded.GetAccessToken())
	must(t, err)
	w.says(t, "inventory", got, user, &token.Actor{Subject: w.Broker.ID("/orders").String(), Act: byGateway})
	if _, err := s.orders.VerifyWithoutPossession(t.Context(), traded.GetAccessToken()); err == nil {
		t.Error("orders take what is for the inventory")
	}
}

// says compares what a service's token says.
func (w *world) says(t *testing.T, audience string, got token.Claims, user *token.User, act *token.Actor) {
	t.Helper()
	want := token.Claims{Issuer: w.Broker.Issuer, Subject: user.Name(), Audience: []string{audience}, User: user, Groups: []string{"staff"}, Act: act}
	had := token.Claims{Issuer: got.Issuer, Subject: got.Subject, Audience: got.Audience, User: got.User, Groups: got.Groups, Act: got.Act}
	if diff := cmp.Diff(want, had); diff != "" {
		t.Error(diff)
	}
}
