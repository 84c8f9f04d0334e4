package keycloak_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestHungListener: Keycloak tells the clients of a session one after the other, and gives each five seconds, while the user
// waits. Another client's listener that hangs holds the user up; the session is over here before that.
func TestHungListener(t *testing.T) {
	k := stack.Keycloak(t, "")
	released, calls := make(chan struct{}), make(chan time.Time, 10)
	hung := serve(t, k, func(http.ResponseWriter, *http.Request) {
		calls <- time.Now()
		<-released
	})
	t.Cleanup(func() { close(released) })
	w := newWorld(t, k, "hung", func(realm map[string]any) {
		realm["clients"] = append(realm["clients"].([]any), map[string]any{
			"clientId": "other", "secret": "x", "standardFlowEnabled": true, "redirectUris": []string{"*"},
			"attributes": map[string]string{"backchannel.logout.url": hung.URL, "backchannel.logout.session.required": "true"},
		})
	})
	joined := func() *person {
		p := w.person(t)
		p.login("alice").claims(t)
		p.navigate(k.Issuer("hung") + "/protocol/openid-connect/auth?" + url.Values{
			"client_id": {"other"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {w.Origin() + "/bff/other"},
		}.Encode())
		return p
	}
	alice := joined()
	began := time.Now()
	w.logsOut(t, alice)
	if took := time.Since(began); took < 4*time.Second {
		t.Errorf("the user waits for the other client no more, but %v: README.md says five seconds", took)
	}
	alice = joined()
	sid := alice.sid(t)
	t.Log(time.Since(began), len(calls))
	began = time.Now()
	k.Call(t, http.MethodDelete, "hung/sessions/"+sid, nil, nil)
	t.Log(time.Since(began), len(calls))
	gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.state().Authenticated })
	t.Logf("an administrator's logout is known here after %v", time.Since(began))
}

// TestIdleAtKeycloak: of a session that idles out Keycloak tells nobody. It is over here at the same time, by what Keycloak
// said of its refresh token, and goes on where it is used.
func TestIdleAtKeycloak(t *testing.T) {
	k := stack.Keycloak(t, "")
	tokens := make(chan string, 10)
	w := newWorld(t, k, "idle", func(realm map[string]any) {
		realm["ssoSessionIdleTimeout"], realm["accessTokenLifespan"] = 8, 3
		gatewayClient(realm)["attributes"].(map[string]any)["backchannel.logout.url"] = listener(t, k, func(token string) { tokens <- token })
	})
	idle, busy := w.person(t), w.person(t)
	busy.login("alice").claims(t)
	idle.login("alice").claims(t)
	began := time.Now()
	gatewaytest.Eventually(t, "the idle session is over", func() bool {
		busy.fetch(http.MethodGet, "/files/1").claims(t)
		return !idle.state().Authenticated
	})
	if took := time.Since(began); took < 5*time.Second || took > 9*time.Second {
		t.Errorf("after %v", took)
	}
	if res := idle.fetch(http.MethodGet, "/files/1"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s %s", res.Status, res.text)
	}
	busy.fetch(http.MethodGet, "/files/1").claims(t)
	if len(tokens) > 0 {
		t.Error("Keycloak tells of sessions that idle out: README.md says that it does not")
	}
}
