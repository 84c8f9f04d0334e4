package provider_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

func closedPort(t *testing.T) string {
	t.Helper()
	at, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestUnreachableIsRetried: the start goes on without the provider, and finds it when it comes.
func TestUnreachableIsRetried(t *testing.T) {
	for name, f := range map[string]providertest.Fault{
		"503": providertest.Status(503, 0), "cut": providertest.Lost(), "429": providertest.Status(429, 0), "hung": providertest.Hang(),
	} {
		s := server(t, nil)
		s.Break(openid.PathDiscovery, providertest.Times(2, f))
		p, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.Retry, c.Timeout = time.Millisecond, time.Second }))
		if err != nil {
			t.Errorf("%s: the start ended: %v", name, err)
			continue
		}
		if _, _, err := p.AuthorizationURL(t.Context(), provider.Request{RedirectURI: callbackURI}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := p.Refresh(t.Context(), provider.Tokens{}.Refresh, provider.Claims{}); provider.OutcomeOf(err) != provider.Transient {
			t.Errorf("%s: a refresh meanwhile: %v", name, err)
		}
		ctx, cancel := context.WithCancel(deadline(t))
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for p.Ready() != nil && ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		login(t, s, p)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMismatchEndsTheStartLater: one that could not be reached and then is another ends it after all.
func TestMismatchEndsTheStartLater(t *testing.T) {
	s := server(t, nil)
	s.Break(openid.PathDiscovery, providertest.Status(503, 0))
	p, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.Retry = time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["issuer"] = "https://evil.example.test" }))
	if err := p.Run(deadline(t)); err == nil || !strings.Contains(err.Error(), "evil.example.test") {
		t.Errorf("Run ended with %v", err)
	}
}

// TestTLSIsVerified: a certificate that nobody vouches for is no provider.
func TestTLSIsVerified(t *testing.T) {
	s := server(t, nil)
	p, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.RootCAs = nil }))
	if err != nil {
		t.Fatal(err)
	}
	if p.Ready() == nil || len(s.Calls(openid.PathDiscovery)) != 0 {
		t.Error("a provider with an unknown certificate was asked")
	}
	for _, issuer := range []string{"http://op.example.test", "http://10.0.0.1/realms/x", "op.example.test", "https://u:p@op.example.test", "https://op.example.test/#x", ""} {
		if _, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.Issuer = issuer })); err == nil {
			t.Errorf("%q was accepted", issuer)
		}
	}
}

// TestNoRedirectIsFollowed: whoever can make the provider redirect does not get our secret.
func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s came here", r.Method, r.URL) }))
	defer elsewhere.Close()
	s := server(t, nil)
	p := open(t, s, nil)
	tokens, claims := login(t, s, p)
	for _, endpoint := range []string{openid.PathToken, openid.PathRevoke, openid.PathLogout, openid.PathDiscovery, openid.PathJWKS} {
		s.Break(endpoint, providertest.Redirect(elsewhere.URL))
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err == nil {
		t.Error("refreshed")
	}
	if err := p.Revoke(t.Context(), tokens.Refresh); err == nil {
		t.Error("revoked")
	}
	if err := p.EndSession(t.Context(), tokens.Refresh); err == nil {
		t.Error("ended")
	}
	if again, err := provider.Open(t.Context(), config(s, nil)); err != nil || again.Ready() == nil {
		t.Errorf("opened: %v", err)
	}
}

// TestAnswersAreBounded: an endless answer is cut.
func TestAnswersAreBounded(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	s.Break(openid.PathToken, providertest.Raw([]byte(`{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`)))
	if _, _, err := p.Refresh(deadline(t), provider.Tokens{}.Refresh, provider.Claims{}); provider.OutcomeOf(err) != provider.Unknown {
		t.Errorf("2 MiB: %v", err)
	}
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { a["access_token"] = strings.Repeat("a", 20<<10) }))
	tx, callback := arrive(t, s, p, provider.Request{})
	if _, _, err := p.Redeem(t.Context(), tx, callback); fault.From(err).Reason != provider.ReasonAnswer {
		t.Errorf("a token of 20 KiB: %v", err)
	}
}

// TestHungProvider: neither a silent listener nor a silent server holds anybody longer than the timeout.
func TestHungProvider(t *testing.T) {
	s := server(t, nil)
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["token_endpoint"] = "https://" + providertest.Hung(t) + "/token" }))
	p := open(t, s, func(c *provider.Config) { c.Timeout = time.Second })
	began := time.Now()
	_, _, err := p.Refresh(deadline(t), provider.Tokens{}.Refresh, provider.Claims{})
	if provider.OutcomeOf(err) != provider.Transient || time.Since(began) > 20*time.Second {
		t.Errorf("a silent listener, %v: %v", time.Since(began), err)
	}
	s.Break(openid.PathJWKS, providertest.Hang())
	if _, err := p.VerifyLogoutToken(deadline(t), s.LogoutToken(clientID, "alice", "s")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("silent keys: %v", err)
	}
}

// TestState: an answer of another transaction, or of none, redeems nothing.
func TestState(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	tx, callback := arrive(t, s, p, provider.Request{})
	_, other := start(t, p, provider.Request{})
	if _, _, err := p.Redeem(t.Context(), other, callback); fault.From(err).Reason != provider.ReasonState {
		t.Errorf("another's: %v", err)
	}
	if _, _, err := p.Redeem(t.Context(), provider.Transaction{}, map[string][]string{"state": {""}, "code": {"c"}}); fault.From(err).Reason != provider.ReasonState {
		t.Errorf("none: %v", err)
	}
	callback["code"] = append(callback["code"], "another")
	if _, _, err := p.Redeem(t.Context(), tx, callback); fault.From(err).Reason != provider.ReasonCallback {
		t.Errorf("two codes: %v", err)
	}
	if n := len(s.Calls(openid.PathToken)); n != 0 {
		t.Errorf("%d codes were redeemed", n)
	}
}

// TestAssertionKeysRotate: the next key is public before it signs, the old one after; the provider, which
// fetches seldom, never meets an unknown one.
func TestAssertionKeysRotate(t *testing.T) {
	now := newClock()
	keys, err := provider.NewAssertions(0, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	var kept []byte
	var until time.Time
	published := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !now.Now().Before(until) { // as between us and a provider that looks once a minute
			var err error
			if kept, err = json.Marshal(keys.Public()); err != nil {
				t.Error(err)
			}
			until = now.Now().Add(time.Minute)
		}
		_, _ = w.Write(kept)
	}))
	defer published.Close()
	s := server(t, func(c *openid.Config) { c.Now, c.Clients[0].JWKSURI = now.Now, published.URL })
	p := open(t, s, func(c *provider.Config) { c.Now, c.Auth = now.Now, provider.Auth{Assertions: keys} })
	login(t, s, p)
	for range 3 {
		if err := keys.Rotate(); err != nil {
			t.Fatal(err)
		}
		if n := len(keys.Public().Keys); n != 2 {
			t.Errorf("%d keys are public during a rotation", n)
		}
		for range 6 {
			login(t, s, p) // with the old one
			now.Add(10 * time.Second)
		}
		now.Add(5 * time.Minute)
		login(t, s, p)
		now.Add(2 * time.Minute)
		if n := len(keys.Public().Keys); n != 1 {
			t.Errorf("%d keys are public after a rotation", n)
		}
		for _, key := range keys.Public().Keys {
			if !key.IsPublic() {
				t.Error("a private key is public")
			}
		}
	}
}
