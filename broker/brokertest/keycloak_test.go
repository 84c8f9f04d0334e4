package brokertest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/token"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// shopPolicy lets staff reach the inventory through orders, and nobody who is banned.
const shopPolicy = oauthPolicy + `p, group:staff, exchange, audience/inventory, allow
p, group:banned, exchange, audience/inventory, deny
`

// shop is a real Keycloak, and a broker whose users are in its realm.
type shop struct {
	*webBroker
	keycloak *stack.KeycloakServer
}

func openShop(t *testing.T, k *stack.KeycloakServer) *shop {
	t.Helper()
	return &shop{keycloak: k, webBroker: startWeb(t, brokertest.Options{Policy: shopPolicy, Change: func(c *broker.Config) {
		issuer, err := url.Parse(k.Issuer("shop"))
		must(t, err)
		// The second is what ID tokens and logout tokens are for: that is not why they are refused.
		c.Issuers = []broker.OpenIDIssuer{{URL: strict.URL{URL: *issuer}, Audience: []string{"intercom", "page"}, CA: k.CACert}}
	}})}
}

// addScope puts read into the tokens of two clients. In the realm's file it would stand instead of all
// scopes that Keycloak brings, and with them of sub.
func addScope(t *testing.T, k *stack.KeycloakServer) {
	t.Helper()
	k.Call(t, http.MethodPost, "shop/client-scopes", map[string]any{
		"name": "read", "protocol": "openid-connect", "attributes": map[string]string{"include.in.token.scope": "true"},
	}, nil)
	var scopes []struct{ ID, Name string }
	k.Call(t, http.MethodGet, "shop/client-scopes", nil, &scopes)
	for _, client := range []string{"page", "hasty"} {
		id := realmClient(t, k, client)["id"].(string)
		for _, scope := range scopes {
			if scope.Name == "read" {
				k.Call(t, http.MethodPut, "shop/clients/"+id+"/default-client-scopes/"+scope.ID, nil, nil)
			}
		}
	}
}

// realmClient returns a client of the realm as Keycloak describes it.
func realmClient(t *testing.T, k *stack.KeycloakServer, name string) map[string]any {
	t.Helper()
	var clients []map[string]any
	k.Call(t, http.MethodGet, "shop/clients?clientId="+name, nil, &clients)
	if len(clients) != 1 {
		t.Fatalf("clients: %v", clients)
	}
	return clients[0]
}

// userID returns what Keycloak calls a user in sub.
func (s *shop) userID(t *testing.T, name string) string {
	t.Helper()
	var users []struct{ ID string }
	s.keycloak.Call(t, http.MethodGet, "shop/users?exact=true&username="+name, nil, &users)
	if len(users) != 1 {
		t.Fatalf("users: %v", users)
	}
	return users[0].ID
}

// login returns the tokens that Keycloak gives a user of a client.
func (s *shop) login(t *testing.T, user, client string) map[string]any {
	t.Helper()
	answer, err := s.keycloak.Token(t.Context(), "shop", url.Values{
		"grant_type": {"password"}, "client_id": {client}, "username": {user}, "password": {user}, "scope": {"openid"},
	})
	must(t, err)
	return answer
}

// trade exchanges a token as orders, for the inventory, and returns the status and the answer.
func (s *shop) trade(t *testing.T, raw any) (int, map[string]any) {
	t.Helper()
	subject, _ := raw.(string)
	if subject == "" {
		t.Fatal("there is no token to exchange")
	}
	res, body := s.post(t, s.as(t, "/orders"), "/oauth2/token", url.Values{
		"grant_type": {grantExchange}, "audience": {"inventory"}, "subject_token": {subject}, "subject_token_type": {typeAccessToken},
	})
	return res.StatusCode, body
}

func (s *shop) refuses(t *testing.T, raw any, status int, code string) {
	t.Helper()
	if got, body := s.trade(t, raw); got != status || body["error"] != code {
		t.Errorf("%d %v, want %d %s", got, body, status, code)
	}
}

// TestUsersOfKeycloak exchanges what a real Keycloak issues.
func TestUsersOfKeycloak(t *testing.T) {
	k := stack.StartKeycloak(t, stack.KeycloakOptions{Realm: "testdata/keycloak-realm.json"})
	addScope(t, k)
	s := openShop(t, k)
	alice := s.login(t, "alice", "page")
	t.Run("the user is the subject", func(t *testing.T) { s.named(t, alice["access_token"]) })
	t.Run("an ID token", func(t *testing.T) { s.refuses(t, alice["id_token"], http.StatusBadRequest, "invalid_request") })
	t.Run("a refresh token", func(t *testing.T) { s.refuses(t, alice["refresh_token"], http.StatusBadRequest, "invalid_request") })
	t.Run("a logout token", func(t *testing.T) {
		s.refuses(t, s.logout(t, "mallory"), http.StatusBadRequest, "invalid_request")
	})
	t.Run("a group that is denied", func(t *testing.T) {
		s.refuses(t, s.login(t, "mallory", "page")["access_token"], http.StatusBadRequest, "invalid_target")
	})
	t.Run("a token for another", func(t *testing.T) {
		s.refuses(t, s.login(t, "alice", "elsewhere")["access_token"], http.StatusBadRequest, "invalid_request")
	})
	t.Run("a token that has ended", func(t *testing.T) {
		raw := s.login(t, "alice", "hasty")["access_token"]
		<-time.After(time.Until(expiry(t, raw)))
		s.refuses(t, raw, http.StatusBadRequest, "invalid_request")
	})
	t.Run("Keycloak is down", func(t *testing.T) { s.down(t, alice["access_token"]) })
}

// named: what we mint names the user as Keycloak does, and the caller as who acts; it ends no later.
func (s *shop) named(t *testing.T, raw any) {
	status, body := s.trade(t, raw)
	minted, _ := body["access_token"].(string)
	if status != http.StatusOK || minted == "" {
		t.Fatalf("%d %v", status, body)
	}
	v := token.Verifier{Issuer: s.issuer, Audience: "inventory", Keys: token.RemoteKeys(s.as(t, ""), s.issuer+"/oauth2/jwks")}
	claims, err := v.VerifyWithoutPossession(t.Context(), minted)
	must(t, err)
	got := []any{claims.User, claims.Groups, claims.Scope, claims.Act, claims.Confirmation != "", claims.Expiry.After(expiry(t, raw))}
	want := []any{
		&token.User{Issuer: s.keycloak.Issuer("shop"), Subject: s.userID(t, "alice")}, []string{"staff"}, []string{"read"},
		&token.Actor{Subject: s.ID("/orders").String()}, true, false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// expiry reads when a token of Keycloak's ends.
func expiry(t *testing.T, raw any) time.Time {
	t.Helper()
	text, _ := raw.(string)
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(text, claims)
	must(t, err)
	end, err := claims.GetExpirationTime()
	must(t, err)
	return end.Time
}

// logout returns the logout token that Keycloak sends when a user's session ends.
func (s *shop) logout(t *testing.T, user string) string {
	t.Helper()
	sent := make(chan string, 1)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.FormValue("logout_token") }))
	t.Cleanup(listener.Close)
	page := realmClient(t, s.keycloak, "page")
	page["attributes"].(map[string]any)["backchannel.logout.url"] = listener.URL
	s.keycloak.Call(t, http.MethodPut, "shop/clients/"+page["id"].(string), page, nil)
	s.login(t, user, "page")
	s.keycloak.Call(t, http.MethodPost, "shop/users/"+s.userID(t, user)+"/logout", nil, nil)
	select {
	case raw := <-sent:
		return raw
	case <-time.After(30 * time.Second):
		t.Fatal("no logout token")
		return ""
	}
}

// down: a broker that never read the keys cannot tell, and says so; one that did goes on; and neither
// minds where no token of Keycloak's is in the game.
func (s *shop) down(t *testing.T, raw any) {
	fresh := openShop(t, s.keycloak)
	s.keycloak.Kill()
	fresh.refuses(t, raw, http.StatusServiceUnavailable, "temporarily_unavailable")
	res, body := fresh.post(t, fresh.as(t, "/orders"), "/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "audience": {"inventory"}})
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the caller for itself: %s %v", res.Status, body)
	}
	res, body = fresh.post(t, fresh.as(t, "/inventory"), "/oauth2/token", url.Values{
		"grant_type": {grantExchange}, "audience": {"ledger"}, "subject_token": {body["access_token"].(string)}, "subject_token_type": {typeAccessToken},
	})
	if res.StatusCode != http.StatusOK {
		t.Errorf("a token of ours: %s %v", res.Status, body)
	}
	if status, body := s.trade(t, raw); status != http.StatusOK {
		t.Errorf("where the keys are known: %d %v", status, body)
	}
}
