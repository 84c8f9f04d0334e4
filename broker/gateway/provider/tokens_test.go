package provider_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
)

// clock is real time, moved.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func newClock() *clock { return &clock{} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func payload(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", raw)
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(data, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func defect(t *testing.T, among []providertest.Defect, name string) providertest.Defect {
	t.Helper()
	for _, d := range among {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no defect %q", name)
	return providertest.Defect{}
}

// testLostRefresh: the provider rotated and the answer was lost. The outcome is unknown, one more try is what
// the provider makes of it, and its verdict is final.
func testLostRefresh(t *testing.T) {
	for name, f := range map[string]providertest.Fault{
		"cut": providertest.Lost(), "truncated": providertest.Truncated(),
		"502": providertest.Status(http.StatusBadGateway, 0), "504": providertest.Status(http.StatusGatewayTimeout, 0),
		"no JSON": providertest.Raw([]byte(`{"access_token":"`)),
	} {
		s := server(t, nil)
		p := open(t, s, nil)
		tokens, claims := login(t, s, p)
		s.Break(openid.PathToken, providertest.Times(1, f))
		before := s.Grants("refresh_token")
		_, _, err := p.Refresh(t.Context(), tokens.Refresh, claims)
		if got := provider.OutcomeOf(err); got != provider.Unknown {
			t.Errorf("%s: %v (%v)", name, got, err)
		}
		if n := s.Grants("refresh_token") - before; n != 1 {
			t.Errorf("%s: sent %d times", name, n)
		}
	}
	for reuse, want := range map[int]provider.Outcome{0: provider.Ended, 1: -1} {
		s := server(t, func(c *openid.Config) { c.RefreshReuse = reuse })
		p := open(t, s, nil)
		tokens, claims := login(t, s, p)
		s.Break(openid.PathToken, providertest.Times(1, providertest.Lost()))
		_, _, lost := p.Refresh(t.Context(), tokens.Refresh, claims)
		again, _, err := p.Refresh(t.Context(), tokens.Refresh, claims)
		switch {
		case provider.OutcomeOf(lost) != provider.Unknown:
			t.Error(lost)
		case want == -1 && (err != nil || again.Refresh.IsZero()):
			t.Errorf("with a grace of one: %v", err)
		case want != -1 && provider.OutcomeOf(err) != want:
			t.Errorf("without grace: %v (%v)", provider.OutcomeOf(err), err)
		}
	}
	s := server(t, nil)
	p := open(t, s, func(c *provider.Config) { c.Timeout = time.Second })
	s.Break(openid.PathToken, providertest.Hang())
	_, _, err := p.Refresh(deadline(t), secret.FromString("r"), provider.Claims{})
	if provider.OutcomeOf(err) != provider.Unknown {
		t.Errorf("hung: %v", err)
	}
}

// testRefreshOutcomes: only what the provider says of the grant ends a session.
func testRefreshOutcomes(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	tokens, claims := login(t, s, p)
	for name, c := range map[string]struct {
		fault providertest.Fault
		want  provider.Outcome
	}{
		"500":                 {providertest.Status(500, 0), provider.Transient},
		"503":                 {providertest.Status(503, 7*time.Second), provider.Transient},
		"429":                 {providertest.Status(429, 7*time.Second), provider.Transient},
		"404":                 {providertest.Status(404, 0), provider.Misconfigured},
		"302":                 {providertest.Redirect(s.URL(openid.PathToken)), provider.Misconfigured},
		"temporarily":         {providertest.Refuse(400, "temporarily_unavailable", ""), provider.Transient},
		"invalid_grant":       {providertest.Refuse(400, "invalid_grant", "Session not active"), provider.Ended},
		"invalid_client":      {providertest.Refuse(401, "invalid_client", ""), provider.Misconfigured},
		"unauthorized_client": {providertest.Refuse(401, "unauthorized_client", ""), provider.Misconfigured},
		"invalid_request":     {providertest.Refuse(400, "invalid_request", ""), provider.Misconfigured},
	} {
		s.Break(openid.PathToken, c.fault)
		_, _, err := p.Refresh(t.Context(), tokens.Refresh, claims)
		if got := provider.OutcomeOf(err); err == nil || got != c.want {
			t.Errorf("%s: %v, want %v (%v)", name, got, c.want, err)
		}
		if wait := fault.From(err).RetryAfter; (name == "503" || name == "429") && wait != 7*time.Second {
			t.Errorf("%s: to be tried again after %v", name, wait)
		}
	}
	s.Heal()
	fresh, _, err := p.Refresh(t.Context(), tokens.Refresh, claims)
	if err != nil || fresh.Refresh.Equal(tokens.Refresh) || fresh.Access.Equal(tokens.Access) || fresh.ID.IsZero() {
		t.Fatalf("after all that: %v", err)
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("reuse: %v", err)
	}
	if _, _, err := p.Refresh(t.Context(), fresh.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("after reuse the family lives on: %v", err)
	}
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["token_endpoint"] = "https://" + closedPort(t) + "/token" }))
	unreachable := open(t, s, nil)
	if _, _, err := unreachable.Refresh(deadline(t), fresh.Refresh, claims); provider.OutcomeOf(err) != provider.Transient {
		t.Errorf("nobody listens: %v (%v)", provider.OutcomeOf(err), err)
	}
}

func testRevoke(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	tokens, claims := login(t, s, p)
	if err := p.Revoke(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("a revoked refresh token: %v", err)
	}
	if c := s.Calls(openid.PathRevoke); len(c) != 1 || c[0].Form.Get("token_type_hint") != "refresh_token" {
		t.Errorf("revoked by %+v", c)
	}
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { delete(m, "revocation_endpoint") }))
	p = open(t, s, nil)
	tokens, claims = login(t, s, p)
	if err := p.Revoke(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	if c := s.Calls(openid.PathLogout); len(c) != 1 || c[0].Auth == "" || c[0].Form.Get("refresh_token") == "" {
		t.Errorf("the session was ended by %+v", c)
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("an ended session: %v", err)
	}
}

func testExchange(t *testing.T) {
	s := server(t, func(c *openid.Config) { c.AccessLife = 10 * time.Minute })
	p := open(t, s, nil)
	tokens, _ := login(t, s, p)
	got, err := p.Exchange(t.Context(), tokens.Access, "orders", "profile")
	if err != nil {
		t.Fatal(err)
	}
	if c := payload(t, string(got.Token.Reveal())); c["aud"] != "orders" || c["sub"] != "alice" || c["scope"] != "profile" {
		t.Errorf("the new token says %v", c)
	}
	if left := time.Until(got.Expiry); left < 8*time.Minute || left > 10*time.Minute {
		t.Errorf("it ends in %v", left)
	}
	calls := s.Calls(openid.PathToken)
	for name, want := range map[string]string{
		"subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
		"subject_token": string(tokens.Access.Reveal()), "audience": "orders", "scope": "profile",
	} {
		if got := calls[len(calls)-1].Form.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, change := range map[string]func(map[string]any){
		"no issued_token_type":   func(a map[string]any) { delete(a, "issued_token_type") },
		"issued a refresh token": func(a map[string]any) { a["issued_token_type"] = "urn:ietf:params:oauth:token-type:refresh_token" },
		"issued an ID token":     func(a map[string]any) { a["issued_token_type"] = "urn:ietf:params:oauth:token-type:id_token" },
		"token_type N_A":         func(a map[string]any) { a["token_type"] = "N_A" },
		"no token_type":          func(a map[string]any) { delete(a, "token_type") },
		"no access token":        func(a map[string]any) { delete(a, "access_token") },
	} {
		got, err := exchangeBroken(t, s, p, change)
		if fault.From(err).Reason != provider.ReasonExchange || !got.Token.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The end is the earlier of what is said and what stands in the token.
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { a["expires_in"] = 86400 }))
	if got, err := p.Exchange(t.Context(), tokens.Access, "orders"); err != nil || time.Until(got.Expiry) > 10*time.Minute {
		t.Errorf("it ends at %v (%v)", got.Expiry, err)
	}
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { delete(a, "expires_in"); a["access_token"] = "opaque" }))
	if got, err := p.Exchange(t.Context(), tokens.Access, "orders"); err != nil || time.Until(got.Expiry) > time.Minute {
		t.Errorf("an opaque token without an end ends at %v (%v)", got.Expiry, err)
	}
}

// exchangeBroken asks with a token of a login of its own: refusals are remembered.
func exchangeBroken(t *testing.T, s *providertest.Server, p *provider.Provider, change func(map[string]any)) (provider.Exchanged, error) {
	t.Helper()
	tokens, _ := login(t, s, p)
	s.Break(openid.PathToken, providertest.Answer(change))
	defer s.Heal()
	return p.Exchange(t.Context(), tokens.Access, "files")
}

// testExchangeRefused: the provider's words, as Keycloak has them, and what they mean here.
func testExchangeRefused(t *testing.T) {
	s := server(t, nil)
	now := newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	tokens, claims := login(t, s, p)
	for _, c := range []struct{ audience, scope, reason, code string }{
		{"ledger", "", provider.ReasonExchangeOrEnded, "invalid_request"},
		{"nobody", "", provider.ReasonExchange, "invalid_client"},
		{"orders", "admin", provider.ReasonExchange, "invalid_scope"},
	} {
		before := s.Grants("urn:ietf:params:oauth:grant-type:token-exchange")
		var scope []string
		if c.scope != "" {
			scope = []string{c.scope}
		}
		for range 5 {
			_, err := p.Exchange(t.Context(), tokens.Access, c.audience, scope...)
			refused, ok := errors.AsType[*provider.RefusedError](err)
			f := fault.From(err)
			if !ok || refused.Code != c.code || f.Kind != fault.InvalidTarget || f.Reason != c.reason || !strings.Contains(f.Message, c.audience) {
				t.Errorf("%+v: %v", c, err)
			}
			if provider.OutcomeOf(err) != provider.Misconfigured {
				t.Errorf("%+v ends a session", c)
			}
		}
		if n := s.Grants("urn:ietf:params:oauth:grant-type:token-exchange") - before; n != 1 {
			t.Errorf("%+v: asked %d times within 10 s", c, n)
		}
		now.Add(10 * time.Second)
		_, _ = p.Exchange(t.Context(), tokens.Access, c.audience, scope...)
		if n := s.Grants("urn:ietf:params:oauth:grant-type:token-exchange") - before; n != 2 {
			t.Errorf("%+v: asked %d times after 10 s", c, n)
		}
	}
	testExchangeUndecided(t, s, p, tokens, claims)
}

// testExchangeUndecided: what passes is not remembered; a session that ended is told apart by a refresh.
func testExchangeUndecided(t *testing.T, s *providertest.Server, p *provider.Provider, tokens provider.Tokens, claims provider.Claims) {
	t.Helper()
	for _, status := range []int{429, 500, 502, 503} {
		s.Break(openid.PathToken, providertest.Times(1, providertest.Status(status, 0)))
		_, err := p.Exchange(t.Context(), tokens.Access, "orders")
		if out := provider.OutcomeOf(err); err == nil || out != provider.Transient && out != provider.Unknown {
			t.Errorf("%d: %v", status, err)
		}
		if _, err := p.Exchange(t.Context(), tokens.Access, "orders"); err != nil {
			t.Errorf("after %d: %v", status, err)
		}
	}
	s.Break(openid.PathToken, providertest.Times(1, providertest.Refuse(http.StatusBadRequest, "unsupported_grant_type", "unsupported grant_type requested")))
	if _, err := p.Exchange(t.Context(), tokens.Access, "crm"); fault.From(err).Reason != provider.ReasonExchangeUnsupported || !strings.Contains(fault.From(err).Message, "does not exchange tokens") {
		t.Errorf("of a provider that exchanges none: %v", err)
	}
	if n := s.EndSession(t.Context(), "alice"); n == 0 {
		t.Fatal("nobody was logged in")
	}
	if _, err := p.Exchange(t.Context(), tokens.Access, "files"); fault.From(err).Reason != provider.ReasonExchangeOrEnded {
		t.Errorf("after the session's end: %v", err)
	}
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("the refresh that decides: %v", err)
	}
}

// reissue makes the exchanged token say something else.
func reissue(s *providertest.Server, change func(claims map[string]any)) providertest.Fault {
	return providertest.Answer(func(a map[string]any) {
		parts := strings.Split(a["access_token"].(string), ".")
		data, _ := base64.RawURLEncoding.DecodeString(parts[1])
		claims := map[string]any{}
		_ = json.Unmarshal(data, &claims)
		change(claims)
		a["access_token"], _ = s.Sign(nil, claims)
	})
}

func testExchangeActor(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	tokens, _ := login(t, s, p)
	if got, err := p.Exchange(t.Context(), tokens.Access, "orders"); err != nil || got.Actor != nil {
		t.Errorf("nobody acts: %+v (%v)", got.Actor, err)
	}
	s.Break(openid.PathToken, reissue(s, func(c map[string]any) {
		c["act"] = map[string]any{"sub": "gateway", "act": map[string]any{"sub": "portal"}}
	}))
	got, err := p.Exchange(t.Context(), tokens.Access, "orders")
	if err != nil || got.Actor == nil || got.Actor.Subject != "gateway" || got.Actor.Act == nil || got.Actor.Act.Subject != "portal" {
		t.Errorf("act is %+v (%v)", got.Actor, err)
	}
}

func testExchangeAudience(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	for name, c := range map[string]struct {
		aud  any
		good bool
	}{
		"another": {"files", false}, "a list without it": {[]string{"files", "mail"}, false}, "none": {nil, false}, "a number": {7, false},
		"it": {"orders", true}, "a list with it": {[]string{"files", "orders"}, true}, "longer": {"orders2", false},
	} {
		tokens, _ := login(t, s, p) // a fresh one: refusals are remembered
		s.Break(openid.PathToken, reissue(s, func(claims map[string]any) { claims["aud"] = c.aud }))
		got, err := p.Exchange(t.Context(), tokens.Access, "orders")
		s.Heal()
		if c.good != (err == nil) || !c.good && (fault.KindOf(err) != fault.InvalidTarget || !got.Token.IsZero()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefreshChecksWhoComesBack: an ID token of somebody else ends the session, keys that are away do not.
func TestRefreshChecksWhoComesBack(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	tokens, claims := login(t, s, p)
	other := providertest.Defect{Forge: func(f *providertest.Forgery) { f.Claims["sub"] = "bob" }}
	s.Break(openid.PathToken, s.IDToken(other))
	if got, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); provider.OutcomeOf(err) != provider.Ended || !got.Access.IsZero() {
		t.Errorf("another user's ID token: %v", err)
	}
	s.Heal()
	p = open(t, s, nil)
	tokens, claims = login(t, s, p)
	if err := s.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	now := newClock()
	now.Add(time.Minute)
	p = open(t, s, func(c *provider.Config) { c.Now = now.Now })
	s.Break(openid.PathJWKS, providertest.Status(503, 0))
	got, held, err := p.Refresh(t.Context(), tokens.Refresh, claims)
	if err != nil || got.Refresh.IsZero() || !got.ID.IsZero() || held.SID != claims.SID {
		t.Errorf("keys away: %v", err)
	}
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) {
		delete(a, "refresh_token")
		delete(a, "id_token")
	}))
	again, held, err := p.Refresh(t.Context(), got.Refresh, claims)
	if err != nil || !again.Refresh.Equal(got.Refresh) || held.Subject != "alice" || !again.RefreshExpiry.IsZero() {
		t.Errorf("a refresh without a new refresh token: %v", err)
	}
}

// TestRefreshWithClocksApart: a clock that is wrong keeps new logins out, and throws nobody out who is in. Whose tokens they
// are is still looked at.
func TestRefreshWithClocksApart(t *testing.T) {
	for _, apart := range []time.Duration{5 * time.Minute, -10 * time.Minute} {
		theirs := newClock()
		s := server(t, func(c *openid.Config) { c.Now = theirs.Now })
		p := open(t, s, nil)
		tokens, claims := login(t, s, p)
		theirs.Add(apart)
		got, held, err := p.Refresh(t.Context(), tokens.Refresh, claims)
		if err != nil || got.ID.IsZero() || held.Subject != "alice" || held.SID != claims.SID || time.Until(got.Expiry) < 4*time.Minute {
			t.Fatalf("%s apart: %v", apart, err)
		}
		tx, callback := arrive(t, s, p, provider.Request{})
		if _, _, err := p.Redeem(t.Context(), tx, callback); fault.From(err).Reason != provider.ReasonID || !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "clock") {
			t.Errorf("%s apart, a login: %v", apart, err)
		}
		s.Break(openid.PathToken, s.IDToken(providertest.Defect{Forge: func(f *providertest.Forgery) { f.Claims["sub"] = "bob" }}))
		if _, _, err := p.Refresh(t.Context(), got.Refresh, held); provider.OutcomeOf(err) != provider.Ended {
			t.Errorf("%s apart, another user's ID token: %v", apart, err)
		}
	}
}

// TestTokensDoNotPrint: whatever is printed of what this package returns has no token in it.
func TestTokensDoNotPrint(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	address, tx := start(t, p, provider.Request{})
	callback := s.Browser(t).Login(address, "alice")
	tokens, claims, err := p.Redeem(t.Context(), tx, callback)
	if err != nil {
		t.Fatal(err)
	}
	exchanged, err := p.Exchange(t.Context(), tokens.Access, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{tokens, tx, exchanged, &tokens} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			out := fmt.Sprintf(verb, v)
			for _, hidden := range []secret.Value{tokens.Access, tokens.Refresh, tokens.ID, tx.Verifier, tx.Nonce, tx.State, exchanged.Token} {
				if strings.Contains(out, string(hidden.Reveal())) {
					t.Errorf("%s prints a token of %T", verb, v)
				}
			}
		}
	}
	var user struct {
		Name   string   `json:"name"`
		Groups []string `json:"groups"`
	}
	if err := claims.Decode(&user); err != nil || user.Name != "Alice Example" || len(user.Groups) != 1 {
		t.Errorf("%+v (%v)", user, err)
	}
}

// TestKeysJustRotated: a key that came just after the keys were fetched is fetched for a token that the provider handed to us,
// and one that is not published keeps logins out and ends no session.
func TestKeysJustRotated(t *testing.T) {
	s := server(t, nil)
	now := newClock()
	p := open(t, s, func(c *provider.Config) { c.Now = now.Now })
	tokens, claims := login(t, s, p)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.RotateKeys())
	now.Add(2 * time.Second)
	login(t, s, p)
	published, err := json.Marshal(s.JWKS())
	must(err)
	must(s.RotateKeys())
	s.Break(openid.PathJWKS, providertest.Raw(published))
	tokens, held, err := p.Refresh(t.Context(), tokens.Refresh, claims) // the keys were fetched in this second
	if err != nil || tokens.Refresh.IsZero() || held.Subject != "alice" {
		t.Errorf("a refresh, too soon to ask: %v", err)
	}
	now.Add(2 * time.Second)
	if tokens, held, err = p.Refresh(t.Context(), tokens.Refresh, held); err != nil || !tokens.ID.IsZero() || held.Subject != "alice" {
		t.Errorf("a refresh, with an unknown key: %v", err)
	}
	tx, callback := arrive(t, s, p, provider.Request{})
	now.Add(2 * time.Second)
	if _, _, err := p.Redeem(t.Context(), tx, callback); fault.From(err).Reason != provider.ReasonID {
		t.Errorf("a login with an unknown key: %v", err)
	}
	s.Break(openid.PathToken, s.IDToken(providertest.Defect{Forge: func(f *providertest.Forgery) { f.How = providertest.ByBrokenProof }}))
	s.Break(openid.PathJWKS, providertest.Answer(func(map[string]any) {}))
	now.Add(2 * time.Second)
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, held); provider.OutcomeOf(err) != provider.Ended {
		t.Errorf("a refresh whose signature is bad: %v", err)
	}
}
