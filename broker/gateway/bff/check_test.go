package bff_test

import (
	"net/http"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/identity"
)

// TestReadsAreSampled: of a session's reads on a route one decision a minute is in the log, whose id they all
// carry. Refusals and what may change something have one each, and so has another session.
func TestReadsAreSampled(t *testing.T) {
	w := newWorld(t)
	b, other := w.alice(t), w.alice(t)
	token := bff.HeaderCSRF + ": " + b.state().CSRF
	distinct := func(b *tab, method, path string, headers ...string) int {
		ids := map[string]bool{}
		for range 5 {
			id := b.fetch(method, path, headers...).Header.Get("Intercom-Decision")
			if entries, err := audit.Find(w.audit, id); err != nil || len(entries) == 0 {
				t.Fatalf("%s %s: decision %q is in no log: %v", method, path, id, err)
			}
			ids[id] = true
		}
		return len(ids)
	}
	first := b.fetch(http.MethodGet, "/orders/1").Header.Get("Intercom-Decision")
	if n := distinct(b, http.MethodGet, "/orders/1"); n > 2 { // the minute may change once
		t.Errorf("reads: %d decisions", n)
	}
	if n := distinct(b, http.MethodPost, "/orders/1", token); n != 5 {
		t.Errorf("writes: %d decisions", n)
	}
	if n := distinct(b, http.MethodGet, "/orders/secret"); n != 5 {
		t.Errorf("refusals: %d decisions", n)
	}
	if other.fetch(http.MethodGet, "/orders/1").Header.Get("Intercom-Decision") == first {
		t.Error("another session has the same decision")
	}
	if b.fetch(http.MethodGet, "/traded/1").Header.Get("Intercom-Decision") == first {
		t.Error("another route has the same decision")
	}
}

// TestLastSlash: a rule that denies a path denies it with its last slash toggled, as at the broker's egress door.
func TestLastSlash(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	for _, path := range []string{"/orders/vault", "/orders/vault/", "/orders/secret", "/orders/secret/"} {
		if res := b.fetch(http.MethodGet, path); res.code() != "policy_denied" || res.Header.Get("Intercom-Decision") == "" {
			t.Errorf("%s: %d %s", path, res.StatusCode, res.text)
		}
	}
	w.last0(t)
}

// TestNoIdentity: a gateway whose own SVID has ended sends nobody to log in.
func TestNoIdentity(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.Self = func() identity.Workload {
		return identity.Workload{ID: spiffeid.RequireFromString("spiffe://a.test/gateway"), NotAfter: b.session().Created.Add(-1e12)}
	}
	res := b.fetch(http.MethodGet, "/orders/1")
	if res.StatusCode != http.StatusServiceUnavailable || res.code() != "gateway_identity" || res.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", res.StatusCode, res.text)
	}
}

// TestExpiredCookie: the cookie of a session that expired is taken back; not after a logout, when a new one may be
// on its way.
func TestExpiredCookie(t *testing.T) {
	w := newWorld(t)
	for reason, dropped := range map[session.Reason]bool{session.ReasonExpired: true, session.ReasonRefused: true, session.ReasonLogout: false, session.ReasonProvider: false} {
		b := w.alice(t)
		must(t, w.Sessions.End(t.Context(), b.session(), reason))
		res := b.fetch(http.MethodGet, "/orders/1")
		if got := len(res.Cookies()) == 1 && res.Cookies()[0].MaxAge < 0; res.StatusCode != http.StatusUnauthorized || got != dropped {
			t.Errorf("%s: %d %v", reason, res.StatusCode, res.Header["Set-Cookie"])
		}
	}
}
