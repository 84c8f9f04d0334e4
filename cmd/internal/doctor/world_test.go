package doctor_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// the world is a healthy deployment: a real Keycloak and a guarded Redis, a broker, and a gateway whose services are an
// https server.
type world struct {
	*gatewaytest.World
	keycloak *stack.KeycloakServer
	redis    *stack.RedisServer
	upstream string
}

const services = `  orders: { upstream: { url: %q, dial: [127.0.0.0/8] }, user: { exchange: { audience: orders } }, match: "/orders/**" }
  ledger: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { audience: ledger }, user: mint, match: "/ledger/**" }
  crm: { upstream: { url: %q, dial: [127.0.0.0/8] }, inject: { basic: { credential: crm/login } }, match: "/crm/**", user: none }
`

func start(t *testing.T) *world {
	t.Helper()
	k := stack.Keycloak(t, "testdata/realm.json")
	w := &world{keycloak: k, redis: stack.StartRedis(t, stack.RedisOptions{Guarded: true})}
	w.upstream = serve(t, k.Authority)
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Authority: k.Authority, Services: strings.ReplaceAll(services, "%q", `"`+w.upstream+`"`),
		Provider: func(g *gatewaytest.World) gateway.Provider {
			w.World = g
			w.register(t, map[string]any{"redirectUris": []string{g.Origin() + "/bff/callback"}})
			g.Write(t, "client-secret", "s3cret\n")
			g.Write(t, "redis-password", w.redis.Password+"\n")
			return gateway.Provider{
				Issuer: w.issuer(), ClientID: "gateway", CA: k.CACert, Scopes: []string{"profile"}, Secret: w.file("client-secret"),
			}
		},
		Change: func(c *gateway.Config) {
			c.UpstreamCA = k.CACert
			c.Sessions = gateway.Sessions{
				Keys:  []strict.Ref{w.file("sealing")},
				Redis: &kv.Config{Addresses: []string{w.redis.Addr}, Username: w.redis.Username, Password: w.file("redis-password"), TLS: &kv.TLS{CA: w.redis.CACert}},
			}
		},
	})
	return w
}

// issuer is Keycloak under a name that is of the origins' site.
func (w *world) issuer() string {
	return strings.Replace(w.keycloak.Issuer("shop"), "127.0.0.1", "id."+stack.TestDomain, 1)
}

func (w *world) file(name string) strict.Ref { return strict.Ref{Scheme: "file", Name: w.Path(name)} }

// register changes the client at Keycloak until the test ends. Its post-logout URI follows the origin.
func (w *world) register(t *testing.T, changes map[string]any) {
	t.Helper()
	var clients []map[string]any
	w.keycloak.Call(t, http.MethodGet, "shop/clients?clientId=gateway", nil, &clients)
	client := clients[0]
	client["attributes"].(map[string]any)["post.logout.redirect.uris"] = w.Origin() + "/bff/logout/return"
	for name, value := range changes {
		if attributes, ok := value.(map[string]string); ok {
			for name, value := range attributes {
				client["attributes"].(map[string]any)[name] = value
			}
			continue
		}
		client[name] = value
	}
	w.keycloak.Call(t, http.MethodPut, fmt.Sprint("shop/clients/", client["id"]), client, nil)
}

// healthy is the client as it should be.
func (w *world) healthy() map[string]any {
	return map[string]any{
		"redirectUris": []string{w.Origin() + "/bff/callback"}, "serviceAccountsEnabled": true, "clientAuthenticatorType": "client-secret",
		"secret": "s3cret", "publicClient": false, "enabled": true,
		"attributes": map[string]string{
			"standard.token.exchange.enabled": "true", "dpop.bound.access.tokens": "false", "require.pushed.authorization.requests": "false", "pkce.code.challenge.method": "S256",
		},
	}
}

// serve starts an https server for which the authority vouches, at localhost.
func serve(t *testing.T, a *stack.Authority) string {
	t.Helper()
	return serveTLS(t, a, func(*tls.Config) {})
}

func serveTLS(t *testing.T, a *stack.Authority, change func(*tls.Config)) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, a.Issue(cert, key, "localhost"))
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	change(s.TLS)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
}

// userToken is an access token of alice's, which a client got; only one of them is the gateway.
func (w *world) userToken(t *testing.T, client string) secret.Value {
	t.Helper()
	// By the name that is the issuer in tokens.
	browser := &http.Client{Transport: w.Transport(t)}
	res, err := browser.PostForm(w.issuer()+"/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {client}, "client_secret": {"s3cret"}, "username": {"alice"}, "password": {"alice"}, "scope": {"openid"},
	})
	must(t, err)
	defer res.Body.Close()
	var answer struct {
		Access string `json:"access_token"`
	}
	decode(t, res.Body, &answer)
	return secret.FromString(answer.Access)
}

// config is the gateway's, to be broken: nothing in it is shared with the running one.
func (w *world) config() *gateway.Config {
	c := w.Gateways[0].Config
	r, tls := *c.Sessions.Redis, *c.Sessions.Redis.TLS
	r.TLS, c.Sessions.Redis = &tls, &r
	c.Origins = slices.Clone(c.Origins)
	return &c
}

// patient is generous: machines under load are slow.
const patient = 20 * time.Second

func (w *world) examine(t *testing.T, change func(*doctor.Options)) []doctor.Row {
	t.Helper()
	o := doctor.Options{Gateway: w.config(), GatewayFile: w.Path("gateway.yaml"), Timeout: patient}
	if change != nil {
		change(&o)
	}
	return doctor.Examine(t.Context(), o)
}

// want is a row that has to be there.
type want struct {
	check  string
	status doctor.Status
	// says is in what was seen, and cure in the setting or the cure.
	says, cure string
}

func (w want) among(rows []doctor.Row) bool {
	return slices.ContainsFunc(rows, func(r doctor.Row) bool {
		return r.Check == w.check && r.Status == w.status && strings.Contains(r.About+" "+r.Seen, w.says) && strings.Contains(r.Setting+": "+r.Cure, w.cure)
	})
}

// broken checks that the row is there, and that nothing else is wrong but what one of also names.
func broken(t *testing.T, rows []doctor.Row, w want, also ...string) {
	t.Helper()
	if !w.among(rows) {
		t.Errorf("no row is %+v", w)
	}
	for _, r := range rows {
		wrong := (r.Status == doctor.Fail || r.Status == doctor.Warn) && r.Check != w.check && !slices.Contains(also, r.Check)
		if wrong || t.Failed() && r.Check == w.check {
			t.Logf("%+v", r)
		}
		if wrong {
			t.Errorf("something else is wrong: %s", r.Check)
		}
		if strings.Contains(fmt.Sprint(r), "s3cret") || strings.Contains(fmt.Sprint(r), "app-password") {
			t.Errorf("a secret is shown: %+v", r)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, file, content string) {
	t.Helper()
	must(t, os.WriteFile(file, []byte(content), 0o600))
}
