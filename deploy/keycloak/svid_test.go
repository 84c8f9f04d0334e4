package keycloak_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestWithoutASecret: the gateways prove themselves by their JWT-SVIDs alone, from the login to the logout at both ends.
func TestWithoutASecret(t *testing.T) {
	t.Parallel()
	w := newWorldOfSVIDs(t, stack.Keycloak(t, ""), "svids")
	alice := w.person(t)
	for _, g := range w.Gateways {
		w.Front.Lead(g.Front)
		alice.HTTP.CloseIdleConnections()
		if got := alice.login("alice").Claims(t); got["aud"] != "orders" {
			t.Errorf("what the broker mints: %v", got)
		}
		alice.LogsOut(nil)
	}
	alice.login("alice").Claims(t)
	must(t, w.Broker.Domain.RotateAuthority()) // Keycloak looks for the new keys when it meets one
	w.refreshes(t, alice)
	t.Run("nor is there one that nobody uses", w.hasNoSecret)
}

// newWorldOfSVIDs is newWorld, where Keycloak verifies the gateways by the keys of their trust domain.
func newWorldOfSVIDs(t *testing.T, k *stack.KeycloakServer, realm string) *world {
	t.Helper()
	w := &world{keycloak: k, realm: realm}
	w.start(t, func(g *gatewaytest.World) gateway.Provider {
		w.make(t, g, func(realm map[string]any) {
			realm["accessTokenLifespan"] = 5
			client := gatewayClient(realm)
			delete(client, "secret")
			client["clientAuthenticatorType"] = "federated-jwt"
			attributes := client["attributes"].(map[string]any)
			attributes["jwt.credential.issuer"] = "spiffe"
			attributes["jwt.credential.sub"] = "spiffe://intercom.test/gateway"
		})
		p := w.provider(t)
		p.Auth = "svid"
		return p
	})
	w.trustDomain(t)
	return w
}

// gatewayClient is the gateway's client in a realm of the file.
func gatewayClient(realm map[string]any) map[string]any {
	return realm["clients"].([]any)[0].(map[string]any)
}

// trustDomain does the second step: Keycloak learns where the trust domain's bundle is, whose keys for JWT-SVIDs have
// `use: jwt-svid`.
func (w *world) trustDomain(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("spiffe.json")
	must(t, err)
	bundle := serve(t, w.keycloak, func(rw http.ResponseWriter, _ *http.Request) {
		text, err := w.Broker.Domain.Bundle().Marshal()
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = rw.Write(text)
	})
	var domain map[string]any
	named := strings.NewReplacer("spiffe://example.org", "spiffe://intercom.test", "https://spire-server.example.org:8443", bundle.URL).Replace(string(text))
	must(t, json.Unmarshal([]byte(named), &domain))
	w.keycloak.Call(t, http.MethodPost, w.realm+"/identity-provider/instances", domain, nil)
}

// refreshes waits for tokens that can be had of no login's but of a refresh's only; the realm's live for five seconds.
func (w *world) refreshes(t *testing.T, p *person) {
	t.Helper()
	began := time.Now()
	gatewaytest.Eventually(t, "the tokens were refreshed", func() bool {
		res := p.Fetch(http.MethodGet, "/files/1")
		if res.StatusCode == http.StatusUnauthorized {
			t.Fatalf("%s %s", res.Status, res.Text)
		}
		return res.StatusCode == http.StatusOK && time.Unix(int64(res.Claims(t)["iat"].(float64)), 0).After(began.Add(6*time.Second))
	})
}

// hasNoSecret looks where one could be: in the gateways' configuration and the files that it names, in the realm, and in
// the environment. Keycloak makes one up for each client; nobody has it, and it opens nothing.
func (w *world) hasNoSecret(t *testing.T) {
	ref := regexp.MustCompile(`"Scheme":"[a-z]+","Name":"[^"]*"`)
	for _, g := range w.Gateways {
		text, err := json.Marshal(g.Config)
		must(t, err)
		if refs := ref.FindAllString(string(text), -1); len(refs) != 1 || !strings.Contains(refs[0], w.Path("sealing")) {
			t.Errorf("beside the key that seals sessions the gateway refers to %q", refs)
		}
	}
	var clients []struct{ ID, ClientAuthenticatorType, Secret string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/clients?clientId=intercom-gateway", nil, &clients)
	if len(clients) != 1 || clients[0].ClientAuthenticatorType != "federated-jwt" {
		t.Fatalf("clients: %+v", clients)
	}
	madeUp := clients[0].Secret
	if madeUp == "" {
		return
	}
	if strings.Contains(strings.Join(os.Environ(), "\n"), madeUp) {
		t.Error("the environment has Keycloak's secret")
	}
	must(t, filepath.WalkDir(w.Dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		if strings.Contains(string(text), madeUp) {
			t.Errorf("%s has Keycloak's secret", name)
		}
		return err
	}))
	_, err := w.keycloak.Token(t.Context(), w.realm, url.Values{
		"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {"intercom-gateway"}, "client_secret": {madeUp},
	})
	if err == nil || !strings.Contains(err.Error(), ": 401 ") {
		t.Errorf("to its secret Keycloak says: %v", err)
	}
}
