package keycloak_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestNobodyIsSentToADeadKeycloak: who wants to log in gets a page of ours while Keycloak hangs, and when it is gone; who is
// logged in is served until the tokens end, and told to wait then; who logs out is told that there is another end to it.
// Nothing is to be restarted when it is back, not even after a crash, which Keycloak's sessions outlive.
func TestNobodyIsSentToADeadKeycloak(t *testing.T) {
	t.Parallel()
	k := stack.StartKeycloak(t, stack.KeycloakOptions{})
	tokens := make(chan string, 1)
	w := newWorld(t, k, "dead", func(realm map[string]any) {
		realm["accessTokenLifespan"] = 20
		gatewayClient(realm)["attributes"].(map[string]any)["backchannel.logout.url"] = listener(t, k, func(token string) { tokens <- token })
	})
	w.Front.Lead(w.Gateways[0].Front) // which has alice's token for orders
	alice, bob, gone := w.person(t), w.person(t), w.person(t)
	gone.login("alice").Claims(t)
	sid := w.sessions(t, "alice")[0]
	alice.login("alice").Claims(t)
	bob.login("bob")
	k.Call(t, http.MethodDelete, "dead/sessions/"+sid, nil, nil)
	token := told(t, tokens)

	must(t, k.Pause())
	alice.Fetch(http.MethodGet, "/orders/1").Claims(t)
	t.Run("a logout token is answered, whatever is to be cleaned up at Keycloak", func(t *testing.T) {
		began := time.Now()
		if res := w.backchannel(t, token); res.StatusCode != http.StatusOK || time.Since(began) > 5*time.Second {
			t.Errorf("%s after %v", res.Status, time.Since(began))
		}
		if gone.State().Authenticated || !alice.State().Authenticated {
			t.Error("not the one session that was meant")
		}
	})
	t.Run("no login while it hangs", w.noLogin)
	t.Run("a logout here", func(t *testing.T) {
		res := bob.Fetch(http.MethodPost, "/bff/logout", bob.CSRF())
		if res.StatusCode != http.StatusOK || !strings.Contains(res.Text, `"provider_session":"unknown"`) || bob.State().Authenticated {
			t.Errorf("%s %s", res.Status, res.Text)
		}
	})
	t.Run("until the tokens end", func(t *testing.T) { w.servedUntilTheEnd(t, alice) })
	must(t, k.Resume())
	t.Run("all works when it is back", func(t *testing.T) {
		gatewaytest.Eventually(t, "alice goes on", func() bool { return alice.Fetch(http.MethodGet, "/orders/1").StatusCode == http.StatusOK })
		w.loginAnswers(t, http.StatusFound)
		w.person(t).login("alice").Claims(t)
	})
	k.Kill()
	t.Run("no login when it is gone", w.noLogin)
	must(t, k.Start(t.Context()))
	back := float64(time.Now().Unix())
	t.Run("sessions outlive a crash of it", func(t *testing.T) {
		gatewaytest.Eventually(t, "alice gets new tokens", func() bool {
			res := alice.Fetch(http.MethodGet, "/orders/1")
			return res.StatusCode == http.StatusOK && res.Claims(t)["iat"].(float64) >= back
		})
		w.loginAnswers(t, http.StatusFound)
		w.person(t).login("alice").Claims(t)
	})
}

// loginAnswers waits until the login answers so. It asks seldom: an address may not begin many.
func (w *world) loginAnswers(t *testing.T, status int) {
	t.Helper()
	p := w.person(t)
	p.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		res := p.Navigate("/bff/login")
		if res.StatusCode == status {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("for a minute: %s %s", res.Status, res.Text)
		}
	}
}

// noLogin: the page comes within seconds, in two languages, and what is no page says so in its way.
func (w *world) noLogin(t *testing.T) {
	w.loginAnswers(t, http.StatusServiceUnavailable)
	p := w.person(t)
	for language, words := range map[string]string{"de-DE": "Der Anmeldedienst antwortet nicht", "en": "The sign-in service does not answer"} {
		began := time.Now()
		res := p.Do(http.MethodGet, "/orders/1", nil, gatewaytest.Navigation("Accept-Language: "+language)...)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(res.Text, words) || !strings.Contains(res.Text, "return_to=%2Forders%2F1") {
			t.Errorf("%s %v %s", res.Status, res.Header, res.Text)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("after %v", took)
		}
	}
	if res := p.Navigate("/bff/silent?origin=" + url.QueryEscape(w.Origin())); res.StatusCode != http.StatusOK || !strings.Contains(res.Text, "provider_unavailable") {
		t.Errorf("in a frame: %s %s", res.Status, res.Text)
	}
	if res := p.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Text, "login_required") {
		t.Errorf("a script: %s %s", res.Status, res.Text)
	}
}

// servedUntilTheEnd: not an error before the tokens end, and after it one that says when to try again.
func (w *world) servedUntilTheEnd(t *testing.T, alice *person) {
	var res gatewaytest.Answer
	gatewaytest.Eventually(t, "the tokens end", func() bool {
		res = alice.Fetch(http.MethodGet, "/orders/1")
		return res.StatusCode != http.StatusOK
	})
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(res.Text, "provider_unavailable") {
		t.Errorf("%s %v %s", res.Status, res.Header, res.Text)
	}
	if !alice.State().Authenticated {
		t.Error("alice was logged out")
	}
}
