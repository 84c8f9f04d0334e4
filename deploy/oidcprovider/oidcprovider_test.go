package oidcprovider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest/providersuite"
)

// TestNewReplica: who has fetched the gateways' keys does not look again for a minute. A new gateway, whose key is not among
// them, is not ready until it is: nobody is led to one where logins fail.
func TestNewReplica(t *testing.T) {
	t.Parallel()
	w := driver(nil).Start(t, providersuite.Client{Keys: true, Alone: true})
	w.Person(t).Login("alice").Claims(t)
	w.Person(t).At(w.Add(t, w.Config(t, w.Provider))).Login("alice").Claims(t)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	providersuite.Run(t, driver(nil))
}

// TestPushedAndBound: with pushed requests and tokens that are bound to a key of the session's, which its refreshes keep; and
// with refresh tokens that are good more than once, as the package has them.
func TestPushedAndBound(t *testing.T) {
	t.Parallel()
	w := driver(func(_ map[string]any, ours *gateway.Provider) { ours.PAR, ours.DPoP = true, true }, "rotateRefreshToken").Start(t, providersuite.Client{Life: 5 * time.Second})
	alice := w.Person(t)
	first := alice.Login("alice").Claims(t)
	key, _ := first["cnf"].(map[string]any)
	if key["jkt"] == nil {
		t.Fatalf("no key: %v", first)
	}
	gatewaytest.Eventually(t, "the tokens were refreshed", func() bool {
		now := alice.Fetch(http.MethodGet, "/own/1").Claims(t)
		if bound, _ := now["cnf"].(map[string]any); bound["jkt"] != key["jkt"] {
			t.Fatalf("another key: %v", now)
		}
		return now["jti"] != first["jti"]
	})
	w.EndSession(t, alice, "alice")
	gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.State().Authenticated })
}

// TestRefreshTokensForOfflineAccess: as the package comes a login brings no refresh token. The session is as long as its
// access token, and says so; the next login asks nothing.
func TestRefreshTokensForOfflineAccess(t *testing.T) {
	t.Parallel()
	w := driver(nil, "issueRefreshToken").Start(t, providersuite.Client{Life: 5 * time.Second})
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	gatewaytest.Eventually(t, "the session ends", func() bool {
		res := alice.Fetch(http.MethodGet, "/own/1")
		return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Text, "session_expired")
	})
	alice.Navigate("/bff/login?return_to=/own/1").Claims(t)
}

// TestClaimsAtUserinfo: as the package comes the ID token has no claims of the user. Who is logged in is in no group, so the
// policy refuses.
func TestClaimsAtUserinfo(t *testing.T) {
	t.Parallel()
	w := driver(nil, "conformIdTokenClaims", "resourceIndicators").Start(t, providersuite.Client{})
	alice := w.Person(t)
	if res := alice.Login("alice"); res.StatusCode != http.StatusForbidden || !strings.Contains(res.Text, "policy_denied") {
		t.Errorf("%s %s", res.Status, res.Text)
	}
	if s := alice.State(); !s.Authenticated || len(s.Claims) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestConsent: as the package comes the user is asked whether the gateway may, and a silent login waits for the answer.
func TestConsent(t *testing.T) {
	t.Parallel()
	w := driver(nil, "loadExistingGrant").Start(t, providersuite.Client{})
	alice := w.Person(t)
	question := alice.Login("alice")
	if at := alice.Navigate("/bff/login?prompt=none&return_to=/bff/session"); at.Request.URL.Path != "/bff/session" || alice.State().Authenticated {
		t.Errorf("before the answer: %s %s %.300s", at.Request.URL, at.Status, at.Text)
	}
	alice.Submit(question, nil).Claims(t)
}

// TestOpaqueTokens: as the package comes the token of the login is opaque, and for no service.
func TestOpaqueTokens(t *testing.T) {
	t.Parallel()
	w := driver(nil, "resourceIndicators").Start(t, providersuite.Client{})
	alice := w.Person(t)
	if res := alice.Login("alice"); res.StatusCode != http.StatusBadGateway || !strings.Contains(res.Text, "another try will not help") {
		t.Errorf("%s %s", res.Status, res.Text)
	}
	if res := alice.Fetch(http.MethodGet, "/own/1"); res.StatusCode != http.StatusBadGateway || !strings.Contains(res.Text, "the user's token is not for this service") {
		t.Errorf("%s %s", res.Status, res.Text)
	}
}

// TestPrivateAddresses: as the package comes it calls no address of a private network. A logout there is noticed with the
// next refresh.
func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	w := driver(nil, "fetch").Start(t, providersuite.Client{Life: 5 * time.Second})
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	w.EndSession(t, alice, "alice")
	if res := alice.Fetch(http.MethodGet, "/own/1"); res.StatusCode != http.StatusOK {
		t.Errorf("the logout was told: %s %s", res.Status, res.Text)
	}
	gatewaytest.Eventually(t, "the refresh ends the session", func() bool {
		res := alice.Fetch(http.MethodGet, "/own/1")
		return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Text, "session_")
	})
}

// TestKeysAtPrivateAddresses: nor does it fetch the client's keys there, so nobody can log in, and the page says who is meant.
func TestKeysAtPrivateAddresses(t *testing.T) {
	t.Parallel()
	w := driver(nil, "fetch").Start(t, providersuite.Client{Keys: true, Alone: true})
	if res := w.Person(t).Login("alice"); res.StatusCode < http.StatusBadRequest || !strings.Contains(res.Text, "provider_refuses_client") {
		t.Errorf("%s %s", res.Status, res.Text)
	}
}

// TestLogoutsWithoutSID: a client that is not registered with backchannel_logout_session_required is told who logged out,
// and not where: all of the user's sessions end, and another login is not refused.
func TestLogoutsWithoutSID(t *testing.T) {
	t.Parallel()
	without := func(client map[string]any, _ *gateway.Provider) {
		delete(client, "backchannel_logout_session_required")
	}
	w := driver(without).Start(t, providersuite.Client{})
	here, there := w.Person(t), w.Person(t)
	here.Login("alice").Claims(t)
	there.Login("alice").Claims(t)
	w.EndSession(t, here, "alice")
	for _, p := range []*providersuite.Person{here, there} {
		gatewaytest.Eventually(t, "all sessions are over", func() bool { return !p.State().Authenticated })
	}
	gatewaytest.Eventually(t, "alice may come again", func() bool {
		return w.Person(t).Login("alice").StatusCode == http.StatusOK // a logout is told in whole seconds
	})
}

// TestNoLevels: a level that the provider does not know is not taken for reached.
func TestNoLevels(t *testing.T) {
	t.Parallel()
	w := driver(nil).Start(t, providersuite.Client{})
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	if page := alice.Navigate("/bff/login?acr=gold"); page.StatusCode != http.StatusForbidden || !strings.Contains(page.Text, "login_level") {
		t.Errorf("%s %s", page.Status, page.Text)
	}
	if !alice.State().Authenticated {
		t.Error("the session before is lost")
	}
}
