package provider_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// testLogoutDefects: every defect of one statement is refused, and without defects the same token is good.
func testLogoutDefects(statement string) func(*testing.T) {
	return func(t *testing.T) {
		s := server(t, nil)
		p := open(t, s, nil)
		n := 0
		for _, d := range providertest.LogoutDefects() {
			if d.Statement != statement {
				continue
			}
			n++
			got, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid", d))
			if fault.KindOf(err) != fault.InvalidRequest || fault.From(err).Reason != provider.ReasonLogout || got != (provider.Logout{}) {
				t.Errorf("%s: %+v (%v)", d.Name, got, err)
			}
		}
		if n == 0 {
			t.Error("no defects: nothing was tested")
		}
		got, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid"))
		if err != nil || got.SID != "sid" || got.Subject != "alice" || !got.RevokeOffline || time.Since(got.IssuedAt) > time.Minute {
			t.Errorf("a good token: %+v (%v)", got, err)
		}
	}
}

func without(name string) providertest.Defect {
	return providertest.Defect{Forge: func(f *providertest.Forgery) { delete(f.Claims, name) }}
}

func testLogoutSubjects(t *testing.T) {
	testLogoutDefects("BCL-4")(t)
	s := server(t, nil)
	p := open(t, s, nil)
	if got, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid", without("sub"))); err != nil || got.SID != "sid" || got.Subject != "" {
		t.Errorf("sid only: %+v (%v)", got, err)
	}
	if got, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid", without("sid"))); err != nil || got.Subject != "alice" || got.SID != "" {
		t.Errorf("sub only: %+v (%v)", got, err)
	}
}

// testLogoutIDToken: a fresh ID token, in every form that it may have, ends nothing.
func testLogoutIDToken(t *testing.T) {
	testLogoutDefects("BCL-6")(t)
	s := server(t, nil)
	for _, lenient := range []bool{false, true} {
		p := open(t, s, func(c *provider.Config) { c.LenientLogout = lenient })
		tokens, _ := login(t, s, p)
		for name, raw := range map[string][]byte{"ID": tokens.ID.Reveal(), "access": tokens.Access.Reveal()} {
			if _, err := p.VerifyLogoutToken(t.Context(), string(raw)); fault.From(err).Reason != provider.ReasonLogout {
				t.Errorf("lenient %v: the %s token as a logout token: %v", lenient, name, err)
			}
		}
	}
}

func testLogoutReplay(t *testing.T) {
	testLogoutDefects("BCL-7")(t)
	s := server(t, nil)
	p := open(t, s, nil)
	raw := s.LogoutToken(clientID, "alice", "sid")
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range 20 {
		wg.Go(func() {
			_, err := p.VerifyLogoutToken(t.Context(), raw)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	accepted := 0
	for err := range results {
		if err == nil {
			accepted++
		} else if fault.From(err).Reason != provider.ReasonReplayed {
			t.Error(err)
		}
	}
	if accepted != 1 {
		t.Errorf("a token was good %d times", accepted)
	}
	// One that was refused for a defect did not use its jti up.
	claims := s.LogoutClaims(clientID, "alice", "sid")
	bad := &providertest.Forgery{Header: map[string]any{"typ": "logout+jwt"}, Claims: claims, How: providertest.ByStranger}
	good := &providertest.Forgery{Header: map[string]any{"typ": "logout+jwt"}, Claims: claims}
	if _, err := p.VerifyLogoutToken(t.Context(), s.Forge(bad)); err == nil {
		t.Error("a stranger's was accepted")
	}
	if _, err := p.VerifyLogoutToken(t.Context(), s.Forge(good)); err != nil {
		t.Errorf("a stranger used up the provider's jti: %v", err)
	}
}

func testLogoutType(t *testing.T) {
	testLogoutDefects("BCL-8")(t)
	s := server(t, nil)
	p := open(t, s, func(c *provider.Config) { c.LenientLogout = true })
	for _, name := range []string{"typ JWT", "good for an hour"} {
		if _, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid", defect(t, providertest.LogoutDefects(), name))); err != nil {
			t.Errorf("lenient, %s: %v", name, err)
		}
	}
	for _, name := range []string{"typ at+jwt", "no iat", "iat in the future", "a nonce"} {
		if _, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "sid", defect(t, providertest.LogoutDefects(), name))); err == nil {
			t.Errorf("lenient is not blind: %s", name)
		}
	}
}

// testEndSession: the browser is sent through, without a page, and tells the others; an expired hint will do.
func testEndSession(t *testing.T) {
	heard := make(chan string, 4)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.PostFormValue("logout_token") }))
	t.Cleanup(other.Close)
	now := newClock()
	s := server(t, func(c *openid.Config) {
		c.Now = now.Now
		c.SessionIdle = time.Hour
		c.Clients[0].BackchannelLogoutURI = other.URL
	})
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	tokens, claims := login(t, s, p)
	now.Add(20 * time.Minute) // the ID token has ended
	address, err := p.EndSessionURL(tokens.ID, goneURI, "st&te")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("id_token_hint") == "" || q.Get("client_id") != clientID || q.Get("post_logout_redirect_uri") != goneURI || q.Get("state") != "st&te" {
		t.Errorf("sent to %v", q)
	}
	b := s.Browser(t) // another browser: the hint says which session
	page := b.Open(address)
	if to := page.Location(); to == nil || to.Query().Get("state") != "st&te" || to.Host != "app.example.test" {
		t.Errorf("sent back to %v, %d", to, page.Status)
	}
	got, err := p.VerifyLogoutToken(t.Context(), <-heard)
	if err != nil || got.SID != claims.SID || got.Subject != claims.Subject {
		t.Errorf("the logout token says %+v (%v)", got, err)
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("the session lives on: %v", err)
	}
}
