package bff_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// later has the token handler look at its clock that much later.
func (w *world) later(d time.Duration) { w.Now = func() time.Time { return time.Now().Add(d) } }

// TestEndedAtTheProvider: the provider says of a session that has ended there what it says of a wrong audience. A
// refresh tells, once, and the session is over here too.
func TestEndedAtTheProvider(t *testing.T) {
	w := newWorld(t)
	b, other := w.alice(t), w.alice(t)
	w.later(time.Minute)
	w.idp.EndSession(t.Context(), "alice")
	res := b.fetch(http.MethodGet, "/traded/1")
	if res.StatusCode != http.StatusUnauthorized || res.code() != "session_expired" || !strings.Contains(res.Header.Get("Www-Authenticate"), "https://icom.test/bff/login") {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	if c := res.Cookies(); len(c) != 1 || c[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", c)
	}
	if n := w.idp.Grants("refresh_token"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if res := other.navigate("/orders/1"); res.StatusCode != http.StatusFound || !strings.HasPrefix(res.Header.Get("Location"), "/bff/login?") {
		t.Errorf("a navigation: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	w.last0(t)
}

// TestWrongAudience: what the provider gives nobody ends no session, and costs one refresh, not one for each
// request.
func TestWrongAudience(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.later(time.Minute)
	for range 3 {
		res := b.fetch(http.MethodGet, "/lost/1")
		if res.StatusCode != http.StatusBadGateway || res.code() != "token_exchange_failed" || !strings.Contains(res.text, "elsewhere") {
			t.Errorf("%d %s", res.StatusCode, res.text)
		}
	}
	if n := w.idp.Grants("refresh_token"); n != 1 {
		t.Errorf("%d refreshes", n)
	}
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK {
		t.Errorf("another service: %d %s", res.StatusCode, res.text)
	}
}

// TestProviderAway: who gives no tokens now is asked again later, and nobody is logged out.
func TestProviderAway(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.idp.Break("/token", providertest.Status(http.StatusServiceUnavailable, 7*time.Second))
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "7" || res.code() != "provider_unavailable" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
	w.idp.Break("/token", providertest.Lost())
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || res.code() != "provider_unavailable" {
		t.Errorf("a lost answer: %d %s", res.StatusCode, res.text)
	}
	w.idp.Heal()
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusOK {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

// TestServedUntilTheTokenEnds: a token is renewed half a minute before its end; where nobody gives another, it serves to
// the end. One that is refused for good is not used any more.
func TestServedUntilTheTokenEnds(t *testing.T) {
	w := newWorld(t, func(c *openid.Config) { c.AccessLife = 20 * time.Second })
	b := w.alice(t)
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	w.idp.Break("/token", providertest.Status(http.StatusServiceUnavailable, 0))
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusOK {
		t.Errorf("a token that is good: %d %s", res.StatusCode, res.text)
	}
	w.later(21 * time.Second)
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusServiceUnavailable || res.code() != "provider_unavailable" {
		t.Errorf("a token that has ended: %d %s", res.StatusCode, res.text)
	}
	w.later(0)
	w.idp.Break("/token", providertest.Refuse(http.StatusForbidden, "access_denied", "no"))
	if res := b.fetch(http.MethodGet, "/traded/1"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("another is refused: %d %s", res.StatusCode, res.text)
	}
}

// TestGroupsAreThoseOfNow: a refresh brings the groups that the user is in now, and takes those that are gone.
func TestGroupsAreThoseOfNow(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, res.text)
	}
	w.idp.SetGroups("alice", "guests")
	w.later(time.Minute)
	b.fetch(http.MethodGet, "/lost/1") // whose refusal is looked into by a refresh
	if n := w.idp.Grants("refresh_token"); n != 1 {
		t.Fatalf("%d refreshes", n)
	}
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusForbidden || res.code() != "policy_denied" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

// TestUseWithoutATokenIsUse: a session that is used for services which get no token is refreshed too, and ends with the
// provider's.
func TestUseWithoutATokenIsUse(t *testing.T) {
	w := newWorld(t, func(c *openid.Config) { c.AccessLife = 2 * time.Second })
	b := w.alice(t)
	until := func(what string, ok func(answer) bool) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(30 * time.Second); !ok(b.fetch(http.MethodGet, "/held/1")); <-tick.C {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the session is not refreshed", func(answer) bool { return w.idp.Grants("refresh_token") > 0 })
	w.idp.EndSession(t.Context(), "alice")
	until("the session outlives the provider's", func(a answer) bool { return a.code() == "session_expired" })
}
