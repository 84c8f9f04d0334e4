package doctor_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

func decode(t testing.TB, r io.Reader, into any) {
	t.Helper()
	must(t, json.NewDecoder(r).Decode(into))
}

// TestGateway has one deployment, and breaks it in one way at a time.
func TestGateway(t *testing.T) {
	w := start(t)
	t.Run("healthy", func(t *testing.T) {
		token := w.userToken(t, "gateway")
		rows := w.examine(t, func(o *doctor.Options) { o.UserToken = token })
		for _, r := range rows {
			if strings.Contains(fmt.Sprint(r), string(token.Reveal())) {
				t.Errorf("%s shows the user's token", r.Check)
			}
			t.Logf("%-5s%-17s%s %s", r.Status, r.Check, r.About, r.Seen)
			if r.Status == doctor.Fail || r.Status == doctor.Warn {
				t.Errorf("%+v", r)
			}
		}
		for _, check := range []string{"token-exchange", "redirect-uri", "post-logout-uri", "back-channel", "provider-client", "redis", "policy", "brokers", "upstream", "origin", "certificate"} {
			if !(want{check: check, status: doctor.OK}).among(rows) {
				t.Errorf("%s is not ok", check)
			}
		}
	})
	for name, c := range w.byFile() {
		t.Run(name, func(t *testing.T) {
			broken(t, w.examine(t, func(o *doctor.Options) { c.change(t, o) }), c.want, c.also...)
		})
	}
	for name, c := range w.atKeycloak() {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { w.register(t, w.healthy()) })
			w.register(t, c.client)
			broken(t, w.examine(t, func(o *doctor.Options) { o.UserToken = c.token }), c.want, c.also...)
		})
	}
	t.Run("the provider's clock", w.clockOfKeycloak)
	t.Run("bound tokens and pushed requests", w.strict)
	t.Run("together with a broker", w.together)
	t.Run("of an unknown client nothing is said", func(t *testing.T) {
		rows := w.examine(t, func(o *doctor.Options) { o.Gateway.Provider.ClientID = "nobody" })
		for _, check := range []string{"redirect-uri", "post-logout-uri"} {
			if want := (want{check, doctor.Skip, "see provider-client", ""}); !want.among(rows) {
				t.Errorf("no row is %+v", want)
			}
		}
	})
	t.Run("a realm that is disabled", func(t *testing.T) {
		enabled := func(yes bool) { w.keycloak.Call(t, http.MethodPut, "shop", map[string]any{"enabled": yes}, nil) }
		t.Cleanup(func() { enabled(true) })
		enabled(false)
		broken(t, w.examine(t, nil), want{"provider-client", doctor.Fail, "Realm not enabled", "provider.issuer: enable the realm"}, "token-exchange")
	})
	t.Run("pushed", func(t *testing.T) {
		push := func(o *doctor.Options) { o.Gateway.Provider.PAR = true }
		broken(t, w.examine(t, push), want{"redirect-uri", doctor.OK, "is registered", ""})
		t.Cleanup(func() { w.register(t, w.healthy()) })
		w.register(t, map[string]any{"redirectUris": []string{"https://else.test/*"}})
		broken(t, w.examine(t, push), want{"redirect-uri", doctor.Fail, "does not take a pushed request", w.Origin() + "/bff/callback"})
		w.register(t, map[string]any{"enabled": false})
		broken(t, w.examine(t, push), want{"redirect-uri", doctor.Skip, "see provider-client", ""}, "provider-client")
	})
	t.Run("a token that another client got", func(t *testing.T) {
		rows := w.examine(t, func(o *doctor.Options) { o.UserToken = w.userToken(t, "page") })
		broken(t, rows, want{"token-exchange", doctor.Fail, "not for us", "let the user's tokens name it"})
	})
	t.Run("an audience that the user may not have", func(t *testing.T) {
		rows := w.examine(t, func(o *doctor.Options) { o.UserToken, o.Gateway.Brokers.Audience = w.userToken(t, "gateway"), "hidden" })
		broken(t, rows, want{"token-exchange", doctor.Fail, "hidden refused", "audience mapper"})
	})
}

// strict: a client that insists is told from one that is not there, and is well where the gateway's file says the same.
func (w *world) strict(t *testing.T) {
	t.Cleanup(func() { w.register(t, w.healthy()) })
	w.register(t, map[string]any{"attributes": map[string]string{"dpop.bound.access.tokens": "true", "require.pushed.authorization.requests": "true"}})
	rows := w.examine(t, nil)
	broken(t, rows, want{"provider-client", doctor.Fail, "DPoP proof is missing", "provider.dpop: set it to true"}, "redirect-uri")
	broken(t, rows, want{"redirect-uri", doctor.Fail, "Pushed Authorization Request", "provider.par: set it to true"}, "provider-client")
	rows = w.examine(t, func(o *doctor.Options) { o.Gateway.Provider.DPoP, o.Gateway.Provider.PAR = true, true })
	broken(t, rows, want{"token-exchange", doctor.OK, "orders the provider exchanges", ""})
	broken(t, rows, want{"refresh-token", doctor.OK, "the client may refresh", ""})
}

// together: what the gateway leaves to the broker, the broker has to know.
func (w *world) together(t *testing.T) {
	look := func(change func(*broker.Config)) []doctor.Row {
		b := broker.Config{
			Version: 1, Identity: broker.Identity{Socket: "unix://" + w.Broker.Dir + "/b.sock"}, UpstreamCA: w.keycloak.CACert, Services: filepath.Join(w.Broker.Dir, "services"),
			Issuers: []broker.OpenIDIssuer{{URL: parse(t, w.issuer()), CA: w.keycloak.CACert, Audience: []string{"intercom"}}}, Audit: broker.Audit{Dir: w.Path("not/yet")},
		}
		change(&b)
		return w.examine(t, func(o *doctor.Options) { o.Broker, o.BrokerFile = &b, "broker.yaml" })
	}
	rows := look(func(*broker.Config) {})
	broken(t, rows, want{"brokers-users", doctor.OK, `tokens for "intercom"`, ""})
	broken(t, rows, want{"brokers-services", doctor.OK, "", ""})
	if _, err := os.Stat(w.Path("not")); err == nil {
		t.Error("the doctor has made a directory")
	}
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, "team.yaml"), "version: 1\nowner: test\nservices:\n  crm: { upstream: { url: \""+w.upstream+"\", dial: [127.0.0.0/8] }, inject: { basic: { credential: crm/login } } }\n")
	rows = look(func(b *broker.Config) {
		b.Issuers[0].Audience, b.Services, b.Audit.Dir = []string{"other"}, elsewhere, w.Path("tls.pem")+"/audit"
	})
	also := []string{"brokers-users", "brokers-services", "audit"}
	broken(t, rows, want{"brokers-users", doctor.Fail, "nothing is minted for ledger", "brokers.audience"}, also...)
	broken(t, rows, want{"brokers-services", doctor.Fail, "ledger the broker's service files, " + elsewhere, "the same service files"}, also...)
	broken(t, rows, want{"audit", doctor.Fail, "not a directory", "audit.dir"}, also...)
}

// clockOfKeycloak: its answers have no Date, and its clock is seen all the same, without a user, and however long its answers
// live.
func (w *world) clockOfKeycloak(t *testing.T) {
	t.Cleanup(func() { w.register(t, w.healthy()) })
	w.register(t, map[string]any{"serviceAccountsEnabled": false})
	live := func(seconds int) {
		w.keycloak.Call(t, http.MethodPut, "shop", map[string]any{"accessCodeLifespan": seconds}, nil)
	}
	t.Cleanup(func() { live(60) })
	for name, c := range map[string]struct {
		ahead time.Duration
		live  int
		want  want
	}{
		"well":                                {0, 60, want{"clock", doctor.OK, "the provider", ""}},
		"well, with answers that live longer": {0, 360, want{"clock", doctor.OK, "the provider", ""}},
		"behind":                              {5 * time.Minute, 60, want{"clock", doctor.Fail, "this machine is", "clock of this machine"}},
		"ahead":                               {-5 * time.Minute, 60, want{"clock", doctor.Fail, "this machine is", "clock of this machine"}},
		"a little ahead":                      {-45 * time.Second, 60, want{"clock", doctor.Warn, "the provider", "clock of this machine"}},
	} {
		t.Run(name, func(t *testing.T) {
			live(c.live)
			rows := w.examine(t, func(o *doctor.Options) {
				o.Now = func() time.Time { return time.Now().Add(-c.ahead) }
				if c.ahead != 0 {
					o.Gateway.Sessions, o.Gateway.Brokers.Egress = gateway.Sessions{Memory: true}, nil
				}
			})
			broken(t, rows, c.want, "identity")
			if !slices.ContainsFunc(rows, func(r doctor.Row) bool { return r.Check == "clock" && strings.Contains(r.Seen, "the provider") }) {
				t.Error("the provider's clock is not seen")
			}
		})
	}
}

// case of a file that does not fit the deployment.
type fileCase struct {
	change func(*testing.T, *doctor.Options)
	want   want
	also   []string
}

func (w *world) byFile() map[string]fileCase {
	set := func(change func(*doctor.Options)) func(*testing.T, *doctor.Options) {
		return func(_ *testing.T, o *doctor.Options) { change(o) }
	}
	needProvider := []string{"provider-client", "redirect-uri", "post-logout-uri", "back-channel", "token-exchange"}
	return map[string]fileCase{
		"another issuer": {set(func(o *doctor.Options) { o.Gateway.Provider.Issuer += "/" }),
			want{"provider", doctor.Fail, "says that it is", "provider.issuer: write the issuer byte for byte"}, nil},
		"another realm": {set(func(o *doctor.Options) { o.Gateway.Provider.Issuer = w.keycloak.Issuer("shop") + "x" }),
			want{"provider", doctor.Fail, "answered 404", "no such realm"}, []string{"same-site"}},
		"an unknown authority of the provider": {func(t *testing.T, o *doctor.Options) { o.Gateway.Provider.CA = w.redis.CACert },
			want{"provider", doctor.Fail, "certificate", "provider.ca"}, needProvider},
		"another secret": {func(t *testing.T, o *doctor.Options) {
			w.Write(t, "other-secret", "wrong")
			o.Gateway.Provider.Secret = w.file("other-secret")
		}, want{"provider-client", doctor.Fail, "unauthorized_client", "provider.secret"}, nil},
		"no secret": {set(func(o *doctor.Options) { o.Gateway.Provider.Secret = w.file("nowhere") }),
			want{"provider-client", doctor.Fail, "no such file", "provider.secret"}, nil},
		"an unknown client": {set(func(o *doctor.Options) { o.Gateway.Provider.ClientID = "nobody" }),
			want{"provider-client", doctor.Fail, "invalid_client", "provider.client_id"}, nil},
		"a JWT-SVID that Keycloak does not take": {set(func(o *doctor.Options) { o.Gateway.Provider.Auth, o.Gateway.Provider.Secret = "svid", strict.Ref{} }),
			want{"provider-client", doctor.Fail, "spiffe_jwt", "provider.auth"}, nil},
		"a scope that Keycloak does not know": {set(func(o *doctor.Options) { o.Gateway.Provider.Scopes = []string{"nope"} }),
			want{"redirect-uri", doctor.Fail, "nope", "provider.scopes"}, nil},
		"an audience that nobody knows": {set(func(o *doctor.Options) { o.Gateway.Brokers.Audience = "nobody-at-all" }),
			want{"token-exchange", doctor.Fail, "Audience not found", "brokers.audience"}, nil},
		"a page of another site": {set(func(o *doctor.Options) { o.Gateway.Origins[0].CORS = []string{"https://portal.example"} }),
			want{"same-site", doctor.Fail, "portal.example", "intercom.test"}, nil},
		"a frame of another site": {set(func(o *doctor.Options) { o.Gateway.Origins[0].Frames = []string{"https://portal.example"} }),
			want{"same-site", doctor.Fail, "portal.example", "intercom.test"}, nil},
		"an origin that leads elsewhere": {set(func(o *doctor.Options) { o.Gateway.Origins[0].URL = w.issuer()[:len(w.issuer())-len("/realms/shop")] }),
			want{"origin", doctor.Fail, "it is not the gateway", "origins"}, []string{"certificate", "redirect-uri", "post-logout-uri", "back-channel"}},
		"a certificate of another name": {func(t *testing.T, o *doctor.Options) {
			o.Gateway.Listen.Cert, o.Gateway.Listen.Key = w.Path("other.pem"), w.Path("other.key")
			must(t, w.Authority.Issue(o.Gateway.Listen.Cert, o.Gateway.Listen.Key, "icom.intercom.test"))
		}, want{"certificate", doctor.Fail, "app.intercom.test", "listen.cert"}, nil},
		"a certificate without its key": {func(t *testing.T, o *doctor.Options) {
			o.Gateway.Listen.Key = w.Path("another.key")
			must(t, w.Authority.Issue(w.Path("another.pem"), w.Path("another.key"), "app.intercom.test"))
		}, want{"certificate", doctor.Fail, "does not match", "listen.cert"}, nil},
		"an unknown authority of the services": {set(func(o *doctor.Options) { o.Gateway.UpstreamCA = "" }),
			want{"upstream", doctor.Fail, "certificate", "upstream_ca"}, nil},
		"no agent": {set(func(o *doctor.Options) { o.Gateway.Identity.Socket = "unix:///nowhere.sock" }),
			want{"identity", doctor.Fail, "/nowhere.sock", "identity.socket"}, nil},
		"the broker's own socket": {set(func(o *doctor.Options) { o.Gateway.Identity.Socket = "unix://" + w.Broker.Dir + "/b.sock" }),
			want{"identity", doctor.Fail, "taken for a broker", "entry of its own"}, []string{"policy"}},
		"another broker": {set(func(o *doctor.Options) { o.Gateway.Brokers.ID.ID = w.Broker.ID("/elsewhere") }),
			want{"brokers", doctor.Fail, "spiffe://intercom.test/broker answers", "brokers.id"}, []string{"policy"}},
		"a mesh door that is none": {set(func(o *doctor.Options) {
			o.Gateway.Brokers.Mesh = o.Gateway.Brokers.Egress
		}), want{"brokers", doctor.Fail, "it is an egress door", "brokers.mesh: write the mesh door's address there"}, []string{"policy"}},
		"an egress door that is none, and a file for an audit log": {set(func(o *doctor.Options) {
			o.Gateway.Brokers.Egress, o.Gateway.Audit.Dir = o.Gateway.Brokers.Mesh, w.Path("tls.pem")
		}), want{"brokers", doctor.Fail, "it is no egress door", "brokers.egress: write the egress door's address there"}, []string{"audit"}},
		"a broker that is not there": {set(func(o *doctor.Options) { o.Gateway.Brokers.Mesh = append(o.Gateway.Brokers.Mesh, "127.0.0.1:1") }),
			want{"brokers", doctor.Fail, "127.0.0.1:1 ", "brokers.mesh"}, nil},
		"brokers of another trust domain": {func(t *testing.T, o *doctor.Options) {
			o.Gateway.Brokers.ID.ID = spiffeid.RequireFromString("spiffe://other.test/broker")
		}, want{"identity", doctor.Fail, "other.test", "brokers.id"}, []string{"brokers", "policy"}},
		"a clock that is behind": {set(func(o *doctor.Options) { o.Now = func() time.Time { return time.Now().Add(-90 * time.Second) } }),
			want{"clock", doctor.Fail, "1m30s behind all of", "this machine's clock"}, nil},
		"no keys to seal with": {func(t *testing.T, o *doctor.Options) {
			w.Write(t, "short-key", "c2hvcnQ=")
			o.Gateway.Sessions.Keys = []strict.Ref{w.file("short-key")}
		}, want{"sealing-keys", doctor.Fail, "want 32 bytes", "sessions.keys"}, nil},
		"another password of Redis": {func(t *testing.T, o *doctor.Options) {
			w.Write(t, "other-password", "wrong")
			o.Gateway.Sessions.Redis.Password = w.file("other-password")
		}, want{"redis", doctor.Fail, "WRONGPASS", "sessions.redis.password"}, nil},
		"an unknown authority of Redis": {set(func(o *doctor.Options) { o.Gateway.Sessions.Redis.TLS.CA = w.keycloak.CACert }),
			want{"redis", doctor.Fail, "certificate", "sessions.redis.tls"}, nil},
		"Redis without TLS": {set(func(o *doctor.Options) { o.Gateway.Sessions.Redis.TLS = nil }),
			want{"redis", doctor.Fail, "", "sessions.redis.tls"}, nil},
		"no Redis": {set(func(o *doctor.Options) { o.Gateway.Sessions.Redis.Addresses = []string{"127.0.0.1:1"} }),
			want{"redis", doctor.Fail, "refused", "sessions.redis.addresses"}, nil},
	}
}

// clientCase is a client that is registered otherwise.
type clientCase struct {
	client map[string]any
	token  secret.Value
	want   want
	also   []string
}

func (w *world) atKeycloak() map[string]clientCase {
	return map[string]clientCase{
		"a callback that is not registered": {client: map[string]any{"redirectUris": []string{"https://else.test/*"}},
			want: want{"redirect-uri", doctor.Fail, "not registered", w.Origin() + "/bff/callback as a redirect URI"}},
		"a client that is disabled": {client: map[string]any{"enabled": false},
			want: want{"provider-client", doctor.Fail, "invalid_client", "let the client gateway be there and enabled"}},
		"a post-logout URI that is not registered": {client: map[string]any{"attributes": map[string]string{"post.logout.redirect.uris": "https://else.test/*"}},
			want: want{"post-logout-uri", doctor.Fail, "not registered", "/bff/logout/return as a post-logout redirect URI"}},
		"exchange is off": {client: map[string]any{"attributes": map[string]string{"standard.token.exchange.enabled": "false"}},
			want: want{"token-exchange", doctor.Fail, "exchange is off", "Standard token exchange"}},
		"a token of nobody": {token: secret.FromString("junk"),
			want: want{"token-exchange", doctor.Fail, "Invalid token", "fresh access token"}},
		"a client of everybody": {client: map[string]any{"publicClient": true},
			want: want{"provider-client", doctor.Fail, "anybody may pose", "turn on Client authentication"}},
		"without a service account": {client: map[string]any{"serviceAccountsEnabled": false},
			want: want{"token-exchange", doctor.Skip, "exchange is on", ""}},
	}
}
