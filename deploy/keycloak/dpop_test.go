package keycloak_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// userinfo is Keycloak as a service, which looks at proofs itself.
const userinfo = "/realms/bound/protocol/openid-connect/userinfo"

// boundWorld is a gateway whose client gets bound tokens alone, and what is between it and Keycloak.
type boundWorld struct {
	*world
	between *between
	proving *proving
	log     string
}

// TestPossession: Keycloak binds a session's tokens to the session's key: at the login, at a refresh, and for each audience.
// Who gets one gets a proof with it, also Keycloak itself. What is not bound is refused, and which setting is wrong is said.
func TestPossession(t *testing.T) {
	t.Parallel()
	w := newBoundWorld(t, stack.Keycloak(t, ""))
	alice := w.person(t)
	if first := alice.login("alice").Claims(t); first["cnf"] != nil || first["aud"] != "orders" {
		t.Errorf("what the broker mints: %v", first)
	}
	before := alice.Fetch(http.MethodGet, "/files/1").Claims(t)
	if other := alice.Fetch(http.MethodGet, "/more/1?x=1").Claims(t); other["aud"] != "more" || other["jkt"] != before["jkt"] {
		t.Errorf("another audience: %v, and before %v", other, before)
	}
	gatewaytest.Eventually(t, "the token of the login is dead, and files get one of a newer one, for the same key", func() bool {
		now := alice.Fetch(http.MethodGet, "/files/1").Claims(t)
		return now["aud"] == "files" && now["jkt"] == before["jkt"] && now["iat"].(float64) > before["iat"].(float64)+2
	})
	if said := alice.Fetch(http.MethodGet, userinfo).Claims(t); said["preferred_username"] != "alice" {
		t.Errorf("Keycloak says %v", said)
	}
	t.Run("a proof that does not arrive", w.unproven)
	t.Run("a gateway without dpop", w.withoutProof)
}

// unproven: something before Keycloak takes the proof away.
func (w *boundWorld) unproven(t *testing.T) {
	w.between.setMute(true)
	defer w.between.setMute(false)
	w.refuses(t, "the login provider does not take our proof of possession")
	w.require(t, false)
	w.refuses(t, "the login provider did not bind the tokens to our key")
	w.require(t, true)
}

// withoutProof: a gateway whose file does not say dpop is told to say it. Where Keycloak does not insist, it is as any other:
// pages may hold tokens then, of the audiences that the file names.
func (w *boundWorld) withoutProof(t *testing.T) {
	p := w.Gateways[0].Config.Provider
	p.DPoP = false
	cfg := w.Config(t, p)
	cfg.Origins[0].Tokens = []string{"files", "nowhere"}
	w.Front.Lead(w.Add(t, cfg).Front)
	w.refuses(t, "set provider.dpop")
	w.require(t, false)
	alice := w.person(t)
	alice.login("alice").Claims(t)
	w.mediates(t, alice)
}

// mediates: the token is Keycloak's for that audience, and ends with the session.
func (w *boundWorld) mediates(t *testing.T, alice *person) {
	t.Helper()
	csrf := alice.CSRF()
	if res := alice.Fetch(http.MethodGet, "/bff/token?audience=nowhere", csrf); res.StatusCode != http.StatusBadGateway || !strings.Contains(res.Text, "token_exchange_failed") {
		t.Errorf("an audience that Keycloak does not know: %s %s", res.Status, res.Text)
	}
	got := alice.Fetch(http.MethodGet, "/bff/token?audience=files", csrf).Claims(t)
	raw, _ := got["access_token"].(string)
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(raw, claims)
	must(t, err)
	if got["token_type"] != "Bearer" || got["expires_in"].(float64) > 3 || len(got) != 4 || claims["aud"] != "files" || claims["sub"] != w.userID(t, "alice") || claims["cnf"] != nil {
		t.Errorf("%v: %v", got, claims)
	}
	asks := func() int {
		return alice.Do(http.MethodGet, w.between.server.URL+userinfo, nil, "Authorization: Bearer "+raw).StatusCode
	}
	if status := asks(); status != http.StatusOK {
		t.Errorf("to the token Keycloak says %d", status)
	}
	alice.LogsOut(nil)
	if status := asks(); status != http.StatusUnauthorized {
		t.Errorf("after the logout it says %d", status)
	}
	if res := alice.Fetch(http.MethodGet, "/bff/token?audience=files", csrf); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the logout: %s %s", res.Status, res.Text)
	}
}

// refuses: nobody gets in, whoever tries is told that it is no use, and the log says why.
func (w *boundWorld) refuses(t *testing.T, why string) {
	t.Helper()
	alice := w.person(t)
	if res := alice.login("alice"); !strings.Contains(res.Text, "not set up completely") || !strings.Contains(res.Text, "provider_proof") {
		t.Errorf("%s: %s", res.Status, res.Text)
	}
	if log, err := os.ReadFile(w.log); err != nil || !strings.Contains(string(log), why) {
		t.Errorf("%q is not in the log: %s", why, log)
	}
	if alice.State().Authenticated {
		t.Errorf("%s: alice is logged in", why)
	}
}

// require sets whether Keycloak insists on proofs. It binds tokens of who sends one, anyway.
func (w *boundWorld) require(t *testing.T, on bool) {
	t.Helper()
	var clients []map[string]any
	w.keycloak.Call(t, http.MethodGet, w.realm+"/clients?clientId=intercom-gateway", nil, &clients)
	clients[0]["attributes"].(map[string]any)["dpop.bound.access.tokens"] = fmt.Sprint(on)
	w.keycloak.Call(t, http.MethodPut, fmt.Sprintf("%s/clients/%v", w.realm, clients[0]["id"]), clients[0], nil)
}

func newBoundWorld(t *testing.T, k *stack.KeycloakServer) *boundWorld {
	t.Helper()
	w := &boundWorld{&world{keycloak: k, realm: "bound"}, newBetween(t, k), &proving{seen: map[string]bool{}}, filepath.Join(t.TempDir(), "log")}
	log, err := os.Create(w.log)
	must(t, err)
	t.Cleanup(func() { _ = log.Close() })
	own, proving := httptest.NewServer(http.HandlerFunc(gatewaytest.ServeClaims)), httptest.NewServer(w.proving)
	t.Cleanup(own.Close)
	t.Cleanup(proving.Close)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Authority: k.Authority, Log: log, Provider: w.insisting(t), Change: func(c *gateway.Config) { c.UpstreamCA = k.CACert },
		Policy: policyCSV + "p, group:staff, call, service/more/**, allow\np, group:staff, call, service/keycloak/**, allow\n" +
			"p, group:staff, exchange, audience/files, allow\np, group:staff, exchange, audience/nowhere, allow\n",
		Services: fmt.Sprintf(`  orders: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  files: { upstream: { url: %[2]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  more: { upstream: { url: %[2]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: more } }, match: "/more/**" }
  keycloak: { upstream: { url: %[3]q, dial: [127.0.0.0/8] }, token: { bind: none, audience: intercom }, user: access_token, match: "/realms/**" }
`, own.URL, proving.URL, w.between.server.URL),
	})
	return w
}

// insisting makes the realm of the file, with a client of which Keycloak wants proofs.
func (w *boundWorld) insisting(t *testing.T) func(*gatewaytest.World) gateway.Provider {
	return func(g *gatewaytest.World) gateway.Provider {
		w.make(t, g, func(realm map[string]any) {
			realm["accessTokenLifespan"], realm["attributes"] = 3, map[string]string{"frontendUrl": w.between.server.URL}
			client := gatewayClient(realm)
			client["attributes"].(map[string]any)["dpop.bound.access.tokens"] = "true"
			client["protocolMappers"] = append(client["protocolMappers"].([]any), map[string]any{
				"name": "more", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
				"config": map[string]any{"included.client.audience": "more", "access.token.claim": "true", "id.token.claim": "false"},
			})
			realm["clients"] = append(realm["clients"].([]any), map[string]any{"clientId": "more", "bearerOnly": true})
		})
		g.Write(t, "client-secret", "s3cret")
		p := w.provider(t)
		p.Issuer, p.DPoP = w.between.server.URL+"/realms/bound", true
		p.Secret = strict.Ref{Scheme: "file", Name: g.Path("client-secret")}
		return p
	}
}

// proving is services that take bound tokens with a proof alone, and each proof once.
type proving struct {
	mu   sync.Mutex
	seen map[string]bool
}

// ServeHTTP says what the token says, and which key it was proven with.
func (p *proving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, isDPoP := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
	proof := strings.Join(r.Header.Values(dpop.Header), ",")
	got, err := dpop.Check(proof, dpop.Use{Method: r.Method, URL: "http://" + r.Host + r.URL.Path, Token: token, Now: time.Now()})
	claims := jwt.MapClaims{}
	if err == nil {
		_, _, err = jwt.NewParser().ParseUnverified(token, claims)
	}
	bound, _ := claims["cnf"].(map[string]any)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isDPoP || err != nil || bound["jkt"] != got.Thumbprint || p.seen[got.JTI] {
		http.Error(w, fmt.Sprintf("a bad proof: %v %v", err, claims), http.StatusUnauthorized)
		return
	}
	p.seen[got.JTI], claims["jkt"] = true, got.Thumbprint
	_ = json.NewEncoder(w).Encode(claims)
}
