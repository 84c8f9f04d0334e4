package keycloak_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestHungListener: Keycloak tells the clients of a session one after the other, while the user waits. Another client's
// listener that hangs holds the user up, but not the end of the session here.
func TestHungListener(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	released := make(chan struct{})
	hung := serve(t, k, func(http.ResponseWriter, *http.Request) { <-released })
	t.Cleanup(func() { close(released) })
	w := newWorld(t, k, "hung", func(realm map[string]any) {
		realm["clients"] = append(realm["clients"].([]any), map[string]any{
			"clientId": "other", "secret": "x", "standardFlowEnabled": true, "redirectUris": []string{"*"},
			"attributes": map[string]string{"backchannel.logout.url": hung.URL, "backchannel.logout.session.required": "true"},
		})
	})
	alice := w.person(t)
	alice.login("alice").Claims(t)
	alice.Navigate(k.Issuer("hung") + "/protocol/openid-connect/auth?" + url.Values{
		"client_id": {"other"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {w.Origin() + "/bff/other"},
	}.Encode())
	to := alice.Logout()
	if alice.State().Authenticated {
		t.Error("the session is not over here at once")
	}
	began := time.Now()
	if back := alice.Navigate(to); back.Request.URL.String() != w.Origin()+"/" {
		t.Errorf("Keycloak leads to %s: %s %.300s", back.Request.URL, back.Status, back.Text)
	}
	if took := time.Since(began); took < 4*time.Second || took > 30*time.Second {
		t.Errorf("the user waits for the other client for %v; README.md says for how long", took)
	}
}

// TestIdleAtKeycloak: of a session that idles out Keycloak tells nobody. It is over here at the same time, by what Keycloak
// said of its refresh token, and goes on where it is used.
func TestIdleAtKeycloak(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	tokens := make(chan string, 10)
	w := newWorld(t, k, "idle", func(realm map[string]any) {
		realm["ssoSessionIdleTimeout"], realm["accessTokenLifespan"] = 8, 3
		gatewayClient(realm)["attributes"].(map[string]any)["backchannel.logout.url"] = listener(t, k, func(token string) { tokens <- token })
	})
	idle, busy := w.person(t), w.person(t)
	busy.login("alice").Claims(t)
	idle.login("alice").Claims(t)
	began := time.Now()
	gatewaytest.Eventually(t, "the idle session is over", func() bool {
		busy.Fetch(http.MethodGet, "/files/1").Claims(t)
		return !idle.State().Authenticated
	})
	if took := time.Since(began); took < 5*time.Second || took > 30*time.Second {
		t.Errorf("after %v", took)
	}
	if res := idle.Fetch(http.MethodGet, "/files/1"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s %s", res.Status, res.Text)
	}
	busy.Fetch(http.MethodGet, "/files/1").Claims(t)
	if len(tokens) > 0 {
		t.Error("Keycloak tells of sessions that idle out: README.md says that it does not")
	}
}
