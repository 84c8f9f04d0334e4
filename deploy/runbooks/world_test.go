package runbooks_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// host is the origin's: a name that also a command finds which runs beside the test.
const host = "localhost"

const policyCSV = `p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/files/**, allow
p, group:staff, exchange, audience/orders, allow
`

// files gets the provider's own tokens, orders those that the broker mints, news none: it is for everybody.
const services = `  orders: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  files: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  news: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/news/**", require: { login: false } }
`

// world is two gateways on one Redis.
type world struct {
	*gatewaytest.World
	store    gateway.Sessions
	now      func() time.Time // the trust domain's clock; nil is the machine's
	keycloak *stack.KeycloakServer
	realm    string
	log      *journal
	logged   int
}

func start(t *testing.T, w *world, store gateway.Sessions, authority *stack.Authority, provider func(*gatewaytest.World) gateway.Provider) *world {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(claimsOf))
	t.Cleanup(upstream.Close)
	w.log, w.store = &journal{}, store
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Hosts: []string{host}, Replicas: 2, Authority: authority, Policy: policyCSV, Services: fmt.Sprintf(services, upstream.URL),
		Provider: provider, Log: w.log, Now: w.now,
		Change: func(c *gateway.Config) { c.Sessions = w.sessions(t, c) },
	})
	return w
}

// sessions are where the test says, sealed with the keys in a file of each gateway's own.
func (w *world) sessions(t *testing.T, c *gateway.Config) gateway.Sessions {
	t.Helper()
	s := w.store
	s.Keys = []strict.Ref{{Scheme: "file", Name: c.Audit.Dir + ".keys"}}
	must(t, os.WriteFile(s.Keys[0].Name, []byte(firstKey), 0o600))
	return s
}

// firstKey seals until a test changes it.
const firstKey = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"

// one is a single Redis.
func one(r *stack.RedisServer) gateway.Sessions {
	return gateway.Sessions{Redis: &kv.Config{Addresses: []string{r.Addr}}}
}

// atKeycloak has the realm of deploy/keycloak, under a name of the test's own.
func atKeycloak(t *testing.T, k *stack.KeycloakServer, realm string, store gateway.Sessions, change func(map[string]any)) *world {
	t.Helper()
	w := &world{keycloak: k, realm: realm}
	return start(t, w, store, k.Authority, func(g *gatewaytest.World) gateway.Provider {
		w.World = g
		w.makeRealm(t, change)
		g.Write(t, "client-secret", "s3cret")
		return gateway.Provider{
			Issuer: w.issuer(), ClientID: "intercom-gateway", CA: k.CACert, Secret: strict.Ref{Scheme: "file", Name: g.Path("client-secret")},
		}
	})
}

// issuer is Keycloak under the origin's name, and so on its site.
func (w *world) issuer() string {
	return strings.Replace(w.keycloak.Issuer(w.realm), "127.0.0.1", host, 1)
}

func (w *world) makeRealm(t *testing.T, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile("../keycloak/realm.json")
	must(t, err)
	var realm map[string]any
	named := strings.NewReplacer("https://icom.example.org", w.Origin(), "**replace**", "s3cret").Replace(string(text))
	must(t, json.Unmarshal([]byte(named), &realm))
	realm["realm"] = w.realm
	realm["users"] = []any{map[string]any{
		"username": "alice", "enabled": true, "email": "alice@example.test", "emailVerified": true, "firstName": "Alice", "lastName": "Example",
		"groups": []string{"/staff"}, "credentials": []map[string]any{{"type": "password", "value": "alice", "temporary": false}},
	}}
	if change != nil {
		change(realm)
	}
	w.keycloak.Call(t, http.MethodPost, "", realm, nil)
}

// atOurs has a provider of ours, whose clock and keys a test may turn.
func atOurs(t *testing.T, store gateway.Sessions, cfg openid.Config) *world {
	t.Helper()
	return (&world{}).atOurs(t, store, cfg)
}

func (w *world) atOurs(t *testing.T, store gateway.Sessions, cfg openid.Config) *world {
	t.Helper()
	return start(t, w, store, nil, func(g *gatewaytest.World) gateway.Provider {
		return g.Ours(t, func(theirs *openid.Config, ours *gateway.Provider) {
			theirs.AccessLife, theirs.Now, theirs.Resources = cfg.AccessLife, cfg.Now, []string{"files"}
			for _, name := range []string{"alice", "carol"} {
				theirs.Users = append(theirs.Users, openid.User{Name: name, Password: secret.FromString(name), Groups: []string{"staff"}})
			}
			theirs.Clients[0].Audiences = []string{gatewaytest.Audience, "files"}
			ours.Scopes = []string{"groups"}
		})
	})
}

// claimsOf is the services: they say what the token says that they got.
func claimsOf(w http.ResponseWriter, r *http.Request) {
	claims := jwt.MapClaims{}
	if raw, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
	}
	_ = json.NewEncoder(w).Encode(claims)
}

// admin asks the first gateway's admin door.
func (w *world) admin(t *testing.T, s *seen, path string) string {
	t.Helper()
	res, err := http.Get("http://" + w.Gateways[0].Admin + path) //nolint:noctx // a test's
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if path == "/metrics" {
		for line := range strings.Lines(string(text)) {
			s.add("/metrics", line)
		}
		return string(text)
	}
	s.add(path, fmt.Sprint(res.StatusCode), string(text))
	return string(text)
}

// says waits until the first gateway's /readyz has these words.
func (w *world) says(t *testing.T, s *seen, words string) {
	t.Helper()
	gatewaytest.Eventually(t, "/readyz says "+words, func() bool { return strings.Contains(w.admin(t, s, "/readyz"), words) })
}

// logs adds what was logged since it was asked last.
func (w *world) logs(s *seen) {
	lines, now := w.log.since(w.logged)
	w.logged = now
	for _, line := range lines {
		s.add("log", cmp.Or(line, "-"))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
