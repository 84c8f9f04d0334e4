package keycloak_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

const policyCSV = `p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/files/**, allow
p, group:staff, call, service/lost/**, allow
p, group:staff, call, service/nowhere/**, allow
p, group:staff, exchange, audience/orders, allow
p, group:staff, exchange, audience/inventory, allow
p, spiffe://intercom.test/orders, exchange, audience/inventory, allow
p, spiffe://intercom.test/orders, introspect, audience/orders, allow
`

// world is gateways in front of a real Keycloak, in a realm of the test's own.
type world struct {
	*gatewaytest.World
	keycloak *stack.KeycloakServer
	realm    string
}

// newWorld starts two gateways on one Redis. change may change the realm before it is made.
func newWorld(t *testing.T, k *stack.KeycloakServer, realm string, change func(map[string]any)) *world {
	t.Helper()
	w := &world{keycloak: k, realm: realm}
	w.start(t, func(g *gatewaytest.World) gateway.Provider {
		w.make(t, g, change)
		g.Write(t, "client-secret", "s3cret")
		p := w.provider()
		p.Secret = strict.Ref{Scheme: "file", Name: g.Path("client-secret")}
		return p
	})
	return w
}

// provider is the realm, to who has yet to say how he proves himself.
func (w *world) provider() gateway.Provider {
	return gateway.Provider{
		Issuer: w.keycloak.Issuer(w.realm), ClientID: "intercom-gateway", CA: w.keycloak.CACert, Scopes: []string{"profile"}, Claims: []string{"preferred_username"},
	}
}

func (w *world) start(t *testing.T, provider func(*gatewaytest.World) gateway.Provider) {
	t.Helper()
	services := httptest.NewServer(http.HandlerFunc(claimsOf))
	t.Cleanup(services.Close)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Replicas: 2, Redis: stack.StartRedis(t, stack.RedisOptions{}), Authority: w.keycloak.Authority, Policy: policyCSV, Provider: provider,
		Services: fmt.Sprintf(`  orders: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  files: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  lost: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: lost } }, match: "/lost/**" }
  nowhere: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: nowhere } }, match: "/nowhere/**" }
  inventory: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none } }
`, services.URL),
	})
}

// make makes the realm of the file, with the names of here and two users.
func (w *world) make(t *testing.T, g *gatewaytest.World, change func(map[string]any)) {
	t.Helper()
	text, err := os.ReadFile("realm.json")
	must(t, err)
	var realm map[string]any
	named := strings.NewReplacer("https://icom.example.org", g.Origin(), "**replace**", "s3cret").Replace(string(text))
	must(t, json.Unmarshal([]byte(named), &realm))
	realm["realm"] = w.realm
	user := func(name string, groups ...string) map[string]any {
		return map[string]any{
			"username": name, "enabled": true, "email": name + "@example.test", "emailVerified": true, "firstName": name, "lastName": "Example",
			"groups": groups, "credentials": []map[string]any{{"type": "password", "value": name, "temporary": false}},
		}
	}
	realm["users"] = []any{user("alice", "/staff"), user("bob")}
	if change != nil {
		change(realm)
	}
	w.keycloak.MakeRealm(t, realm)
}

// claimsOf is the services: they say what the token says that they got, and the token, for who verifies it.
func claimsOf(w http.ResponseWriter, r *http.Request) {
	claims, raw := jwt.MapClaims{}, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, _, err := jwt.NewParser().ParseUnverified(raw, claims); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	claims["raw"] = raw
	_ = json.NewEncoder(w).Encode(claims)
}

// person sits at a browser.
type person struct {
	t    *testing.T
	w    *world
	http *http.Client
}

func (w *world) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &person{t, w, &http.Client{Transport: w.Transport(t), Jar: jar}}
}

type answer struct {
	*http.Response
	text string
}

func (p *person) do(method, target string, form url.Values, headers map[string]string) answer {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.w.Origin() + target
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(form.Encode()))
	must(p.t, err)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := p.http.Do(r)
	must(p.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(p.t, err)
	return answer{res, string(text)}
}

// navigate opens a page, and goes where it leads.
func (p *person) navigate(target string) answer {
	p.t.Helper()
	return p.do(http.MethodGet, target, nil, navigation())
}

func navigation() map[string]string {
	return map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}
}

// fetch is what a page does.
func (p *person) fetch(method, target string, headers ...string) answer {
	p.t.Helper()
	all := map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
	for i := 0; i+1 < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
	}
	return p.do(method, target, nil, all)
}

// login types a name, which is the password too, into Keycloak's page.
func (p *person) login(name string) answer {
	p.t.Helper()
	form := p.navigate("/bff/login?return_to=/orders/1")
	action := regexp.MustCompile(`<form[^>]* action="([^"]+)"`).FindStringSubmatch(form.text)
	if action == nil {
		p.t.Fatalf("Keycloak shows no login: %s %.500s", form.Status, form.text)
	}
	return p.do(http.MethodPost, html.UnescapeString(action[1]), url.Values{"username": {name}, "password": {name}}, navigation())
}

// state is what /bff/session says.
func (p *person) state() (s struct {
	Authenticated bool           `json:"authenticated"`
	CSRF          string         `json:"csrf_token"`
	Claims        map[string]any `json:"claims"`
}) {
	p.t.Helper()
	must(p.t, json.Unmarshal([]byte(p.fetch(http.MethodGet, "/bff/session").text), &s))
	return s
}

func (a answer) claims(t *testing.T) (claims map[string]any) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", a.Request.URL, a.Status, a.text)
	}
	must(t, json.Unmarshal([]byte(a.text), &claims))
	return claims
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
