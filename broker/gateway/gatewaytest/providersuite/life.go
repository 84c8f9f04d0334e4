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
	w.logsOut(alice)
}

func (w *World) logsOut(alice *Person) {
	alice.t.Helper()
	alice.LogsOut(w.confirmed(alice))
}

// endedThere: the provider tells one gateway, and the session is over at both; another login is not.
func (w *World) endedThere(t *testing.T) {
	alice := w.Person(t)
	alice.Login("alice").Claims(t)
	w.EndSession(t, alice, "alice")
	for _, g := range w.Gateways {
		there := alice.At(g)
		gatewaytest.Eventually(t, "the session is over", func() bool { return !there.State().Authenticated })
		if res := there.Fetch(http.MethodGet, "/own/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Text, "session_revoked") {
			t.Errorf("%s %s", res.Status, res.Text)
		}
	}
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
	w.logsOut(here)
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
		w.logsOut(alice)
	}
}
