package chromium_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// keycloak is a realm of deploy/keycloak's file, under a name on the gateway's own site.
type keycloak struct {
	*stack.KeycloakServer
	realm string
}

// register makes the realm, with the origins of a world and one user.
func (k *keycloak) register(t *testing.T, g *gatewaytest.World) gateway.Provider {
	t.Helper()
	text, err := os.ReadFile("../../../../deploy/keycloak/realm.json")
	must(t, err)
	var realm map[string]any
	must(t, json.Unmarshal([]byte(strings.NewReplacer("https://icom.example.org", g.Origin(), "**replace**", "s3cret").Replace(string(text))), &realm))
	realm["realm"] = k.realm
	client := realm["clients"].([]any)[0].(map[string]any)
	client["redirectUris"] = []string{g.Origins[0] + "/bff/callback", g.Origins[1] + "/bff/callback"}
	realm["users"] = []any{map[string]any{
		"username": "alice", "enabled": true, "email": "alice@example.test", "emailVerified": true, "firstName": "Alice", "lastName": "Example",
		"groups": []string{"/staff"}, "credentials": []map[string]any{{"type": "password", "value": "alice", "temporary": false}},
	}}
	k.Call(t, http.MethodPost, "", realm, nil)
	g.Write(t, "client-secret", "s3cret")
	return gateway.Provider{
		Issuer: strings.Replace(k.Issuer(k.realm), "127.0.0.1", id, 1), ClientID: "intercom-gateway", CA: k.CACert, Scopes: []string{"profile"},
		Claims: []string{"preferred_username"}, Secret: strict.Ref{Scheme: "file", Name: g.Path("client-secret")},
	}
}

// TestKeycloak: a person logs in at its page, silently at the second origin, and out at all; and hears at once when an
// administrator ends the session.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	k := &keycloak{stack.Keycloak(t, ""), "chromium"}
	w := newWorld(t, options{keycloak: k, browser: stack.StartChromium(t, stack.ChromiumOptions{Authority: k.Authority})})
	alice := w.person(t)
	if m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1]); m.Data.LoggedIn || m.Data.Reason != "login_required" {
		t.Errorf("nobody is logged in: %+v", m)
	}
	alice.open(w.Origin() + "/")
	alice.click("#login")
	alice.see("#password")
	alice.picture("keycloak-login")
	alice.credentials("alice")
	alice.is("alice")
	if m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1]); !m.Data.LoggedIn || m.Data.CSRF == "" {
		t.Errorf("with a session at Keycloak: %+v", m)
	}
	second := alice.another()
	for i, b := range []*tab{alice, second} {
		b.open(w.Origins[i] + "/")
		b.is("alice")
	}
	// Her browser is slow: what the gateway does meanwhile must not keep Keycloak from telling the other origin.
	alice.js(`intercom.session().then(s => fetch('/bff/logout', { method: 'POST', headers: { 'X-CSRF-Token': s.csrf_token } }))
		.then(r => r.json()).then(a => { window.out = a.logout_url; return new Promise(done => setTimeout(() => done(0), 1000)) })`, new(int))
	alice.js(`(location.assign(out), 0)`, new(int))
	alice.is("nobody")
	second.hears("ended", time.Now())
	second.is("nobody")
	w.twoTabs(t)
	alice.login("alice")
	var users []struct{ ID string }
	k.Call(t, http.MethodGet, k.realm+"/users?exact=true&username=alice", nil, &users)
	began := time.Now()
	k.Call(t, http.MethodPost, k.realm+"/users/"+users[0].ID+"/logout", nil, nil)
	alice.hears("ended", began)
	alice.is("nobody")
}

// twoTabs: while two login pages are open, one is filled in. Keycloak's other page notices and goes on by itself.
func (w *world) twoTabs(t *testing.T) {
	t.Helper()
	first := w.person(t)
	second := first.another()
	for b, path := range map[*tab]string{first: "/deep/first", second: "/deep/second"} {
		b.open(w.Origin() + path)
		b.see("#password")
	}
	first.credentials("alice")
	for b, path := range map[*tab]string{first: "/deep/first", second: "/deep/second"} {
		b.until("the page that was asked for", `document.title == 'deep' && location.pathname == '`+path+`'`)
	}
}
