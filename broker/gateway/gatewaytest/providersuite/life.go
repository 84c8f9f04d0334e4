package providersuite

import (
	"net/http"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// logout: who logs out here is led to the provider, logged out there, and led back.
func (w *World) logout(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	w.logsOut(t, alice)
}

func (w *World) logsOut(t *testing.T, alice *Person) {
	t.Helper()
	back := w.leave(alice, alice.Logout())
	if back.Request.URL.String() != w.Origin()+"/" { // where nothing is in this world, but for the way back
		t.Errorf("the provider leads to %s: %s %.300s", back.Request.URL, back.Status, back.Text)
	}
	if alice.State().Authenticated {
		t.Error("alice is still logged in here")
	}
	if form := alice.Navigate("/bff/login"); !strings.Contains(form.Text, `name="password"`) {
		t.Errorf("alice is still logged in at the provider: %s", form.Request.URL)
	}
}

// endedThere: the provider tells one gateway, and the session is over at both; another login is not.
func (w *World) endedThere(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	w.EndSession(t, alice, "alice")
	for _, g := range w.Gateways {
		alice.At(g)
		gatewaytest.Eventually(t, "the session is over", func() bool { return !alice.State().Authenticated })
		if res := alice.Fetch(http.MethodGet, "/own/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Text, "session_revoked") {
			t.Errorf("%s %s", res.Status, res.Text)
		}
	}
	w.Front.Lead(w.Gateways[0].Front, w.Gateways[1].Front)
	alice.Login("alice").Claims(t)
}

// twoOrigins: the login at a second origin asks nothing, and the logout at one of them is one at both.
func (w *World) twoOrigins(t *testing.T) {
	here := w.Person(t)
	here.Login("alice").Claims(t)
	there := here.Visit(w.Origins[1])
	if there.State().Authenticated {
		t.Error("a cookie is good at two origins")
	}
	there.Navigate("/bff/login?return_to=/own/1").Claims(t)
	w.logsOut(t, here)
	gatewaytest.Eventually(t, "the other session is over", func() bool { return !there.State().Authenticated })
}

// refresh: with refresh tokens that are good once, many requests at both gateways are one refresh, each time.
func (w *World) refresh(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	seen := map[any]bool{}
	gatewaytest.Eventually(t, "the tokens were refreshed twice", func() bool {
		results := make(chan Answer, 20)
		for range cap(results) {
			go func() { results <- alice.Fetch(http.MethodGet, "/own/1") }()
		}
		for range cap(results) {
			seen[(<-results).Claims(t)["jti"]] = true
		}
		return len(seen) >= 3
	})
}

// forgotten: what the provider tells nobody of is known with the next refresh.
func (w *World) forgotten(t *testing.T) {
	bob := w.Person(t)
	bob.Login("alice").Claims(t)
	w.Forget(t, "alice")
	gatewaytest.Eventually(t, "the refresh ends the session", func() bool {
		res := bob.Fetch(http.MethodGet, "/own/1")
		return res.StatusCode == http.StatusUnauthorized && strings.Contains(res.Text, "session_")
	})
}

// keys: without a secret, each gateway proves itself with a key that the provider fetches from them.
func (w *World) keys(t *testing.T) {
	for _, g := range w.Gateways {
		alice := w.Person(t).At(g)
		if got := alice.Login("alice").Claims(t); got["iss"] != w.Provider.Issuer {
			t.Errorf("%v", got)
		}
		w.logsOut(t, alice)
	}
}
