package provider_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// TestConformance holds the statements of which this layer decides; others of them have a second half in the
// packages above.
func TestConformance(t *testing.T) {
	for id, test := range map[string]func(*testing.T){
		"FLOW-1": testConfidential, "FLOW-2": testChallenge, "FLOW-5": testMixUp, "FLOW-6": testIDToken, "FLOW-7": testTokenAnswer,
		"FLOW-8": testSilentNo, "FLOW-9": testStepUp, "FLOW-10": testPushed, "FLOW-11": testAssertion, "FLOW-12": testNoPassword,
		"FLOW-15": testMetadata, "FLOW-16": testUnknownKey,
		"TOK-2": testLostRefresh, "TOK-3": testRefreshOutcomes, "TOK-4": testRevoke, "TOK-5": testExchange, "TOK-6": testExchangeRefused,
		"TOK-7": testExchangeActor, "TOK-8": testExchangeAudience, "TOK-10": testPossession,
		"BCL-2": testLogoutDefects("BCL-2"), "BCL-3": testLogoutDefects("BCL-3"), "BCL-4": testLogoutSubjects, "BCL-5": testLogoutDefects("BCL-5"),
		"BCL-6": testLogoutIDToken, "BCL-7": testLogoutReplay, "BCL-8": testLogoutType, "RPL-1": testEndSession,
	} {
		t.Run(id, test)
	}
}

// testConfidential: every call from behind is authenticated, and a client that is not gets nothing.
func testConfidential(t *testing.T) {
	s := server(t, func(c *openid.Config) { c.RequirePAR = true })
	p := open(t, s, nil)
	tokens, claims := login(t, s, p)
	if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Exchange(t.Context(), tokens.Access, "orders"); err != nil {
		t.Fatal(err)
	}
	if err := p.Revoke(t.Context(), tokens.Refresh); err != nil {
		t.Fatal(err)
	}
	for endpoint, n := range map[string]int{openid.PathPAR: 1, openid.PathToken: 3, openid.PathRevoke: 1} {
		calls := s.Calls(endpoint)
		if len(calls) != n {
			t.Errorf("%d calls of %s, want %d", len(calls), endpoint, n)
		}
		for _, c := range calls {
			if c.Auth != provider.BySecretBasic {
				t.Errorf("%s was called with client authentication %q", endpoint, c.Auth)
			}
		}
	}
	if c := s.Calls(openid.PathPAR)[0]; c.Form.Get("response_type") != "code" || c.Form.Has("response_mode") {
		t.Errorf("asked for %q %q", c.Form["response_type"], c.Form["response_mode"])
	}
	for _, auth := range []provider.Auth{{}, {Method: provider.BySVID, Secret: bySecret}} {
		if _, err := provider.Open(t.Context(), config(s, func(c *provider.Config) { c.Auth = auth })); err == nil {
			t.Error("a client that cannot prove itself was opened")
		}
	}
}

// testChallenge: a thousand logins have a thousand verifiers, and their challenges are S256 of them.
func testChallenge(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	seen := map[string]bool{}
	for range 1000 {
		address, tx := start(t, p, provider.Request{})
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		q, verifier := u.Query(), string(tx.Verifier.Reveal())
		for _, once := range []string{verifier, q.Get("state"), q.Get("nonce"), q.Get("code_challenge")} {
			if seen[once] || len(once) < 43 || len(once) > 128 {
				t.Fatalf("%q: seen before, or of a length that is not allowed", once)
			}
			seen[once] = true
		}
		if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == verifier || strings.Contains(address, verifier) {
			t.Fatalf("not an S256 challenge: %s", address)
		}
	}
	login(t, s, p) // the provider compares
	tx, callback := arrive(t, s, p, provider.Request{})
	_, other := start(t, p, provider.Request{})
	tx.Verifier = other.Verifier
	if _, _, err := p.Redeem(t.Context(), tx, callback); !provider.Outdated(err) {
		t.Errorf("with another verifier: %v", err)
	}
}

// testMixUp: the code of an answer that does not come from the provider is not redeemed.
func testMixUp(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	for name, change := range map[string]func(url.Values){
		"another": func(q url.Values) { q.Set("iss", "https://evil.example.test") },
		"absent":  func(q url.Values) { q.Del("iss") },
		"empty":   func(q url.Values) { q.Set("iss", "") },
		"twice":   func(q url.Values) { q["iss"] = []string{s.Issuer(), "https://evil.example.test"} },
		"slash":   func(q url.Values) { q.Set("iss", s.Issuer()+"/") },
		"error of another": func(q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("iss", "https://evil.example.test")
		},
	} {
		tx, callback := arrive(t, s, p, provider.Request{})
		change(callback)
		if _, _, err := p.Redeem(t.Context(), tx, callback); fault.KindOf(err) != fault.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Calls(openid.PathToken)); n != 0 {
		t.Errorf("%d codes were redeemed", n)
	}
	// A provider that does not announce it need not send it, but a wrong one is refused all the same.
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }))
	p = open(t, s, nil)
	tx, callback := arrive(t, s, p, provider.Request{})
	callback.Set("iss", "https://evil.example.test")
	if _, _, err := p.Redeem(t.Context(), tx, callback); fault.From(err).Reason != provider.ReasonIssuer {
		t.Error(err)
	}
	callback.Del("iss")
	if _, _, err := p.Redeem(t.Context(), tx, callback); err != nil {
		t.Error(err)
	}
}

// testIDToken: one defect each, no login.
func testIDToken(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		s := server(t, func(c *openid.Config) { c.Algorithm = alg })
		p := open(t, s, nil)
		for _, defect := range providertest.IDTokenDefects() {
			s.Break(openid.PathToken, s.IDToken(defect))
			tx, callback := arrive(t, s, p, provider.Request{})
			tokens, claims, err := p.Redeem(t.Context(), tx, callback)
			if fault.From(err).Reason != provider.ReasonID || !tokens.Access.IsZero() || claims.Subject != "" {
				t.Errorf("%s, %s: %v", alg, defect.Name, err)
			}
		}
		s.Break(openid.PathToken, s.IDToken())
		login(t, s, p)
	}
}

func testTokenAnswer(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	for name, change := range map[string]func(map[string]any){
		"no ID token":     func(a map[string]any) { delete(a, "id_token") },
		"no access token": func(a map[string]any) { delete(a, "access_token") },
		"no token_type":   func(a map[string]any) { delete(a, "token_type") },
		"token_type mac":  func(a map[string]any) { a["token_type"] = "mac" },
		"token_type N_A":  func(a map[string]any) { a["token_type"] = "N_A" },
		"token_type DPoP": func(a map[string]any) { a["token_type"] = "DPoP" }, // that we did not ask for
	} {
		s.Break(openid.PathToken, providertest.Answer(change))
		tx, callback := arrive(t, s, p, provider.Request{})
		if tokens, _, err := p.Redeem(t.Context(), tx, callback); err == nil || !tokens.Access.IsZero() {
			t.Errorf("%s: accepted", name)
		}
	}
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { a["token_type"] = "bearer" })) // RFC 6749, section 5.1
	login(t, s, p)
}

// testSilentNo: the four ways to say no without a page are one clean no.
func testSilentNo(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	b := s.Browser(t)
	address, tx := start(t, p, provider.Request{Prompt: "none"})
	if _, _, err := p.Redeem(t.Context(), tx, b.Visit(address)); !provider.Silent(err) || fault.From(err).Reason != "LOGIN_REQUIRED" {
		t.Errorf("nobody is logged in: %v", err)
	}
	for _, code := range []string{"interaction_required", "consent_required", "account_selection_required"} {
		s.Break(openid.PathAuthorize, providertest.Callback(func(q url.Values) { q.Set("error", code) }))
		address, tx = start(t, p, provider.Request{Prompt: "none"})
		_, _, err := p.Redeem(t.Context(), tx, b.Visit(address))
		if !provider.Silent(err) || fault.KindOf(err) != fault.Unauthenticated || fault.From(err).Reason != strings.ToUpper(code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	s.Break(openid.PathAuthorize, providertest.Callback(func(q url.Values) { q.Set("error", "access_denied") }))
	if _, _, err := p.Redeem(t.Context(), tx, b.Visit(address)); provider.Silent(err) {
		t.Error("access_denied is no silent no")
	}
	if n := len(s.Calls(openid.PathToken)); n != 0 {
		t.Errorf("%d codes were redeemed", n)
	}
	s.Heal()
	address, tx = start(t, p, provider.Request{})
	first, firstClaims, err := p.Redeem(t.Context(), tx, b.Login(address, "alice"))
	if err != nil || first.Access.IsZero() {
		t.Fatal(err)
	}
	address, tx = start(t, p, provider.Request{Prompt: "none"})
	if _, again, err := p.Redeem(t.Context(), tx, b.Visit(address)); err != nil || again.SID != firstClaims.SID {
		t.Errorf("a silent login in a living session: sid %q, want %q (%v)", again.SID, firstClaims.SID, err)
	}
}

// testStepUp: what was asked of a login is looked at, as the address bar is the user's.
func testStepUp(t *testing.T) {
	s := server(t, nil)
	p := open(t, s, nil)
	b := s.Browser(t)
	address, tx := start(t, p, provider.Request{ACR: []string{"2"}})
	if _, claims, err := p.Redeem(t.Context(), tx, b.Login(address, "alice")); err != nil || claims.ACR != "2" {
		t.Fatalf("step-up: acr %q (%v)", claims.ACR, err)
	}
	ago := func(d time.Duration) providertest.Defect {
		return providertest.Defect{Forge: func(f *providertest.Forgery) { f.Claims["auth_time"] = time.Now().Add(-d).Unix() }}
	}
	none := providertest.Defect{Forge: func(f *providertest.Forgery) { delete(f.Claims, "auth_time") }}
	low := providertest.Defect{Forge: func(f *providertest.Forgery) { f.Claims["acr"] = "1" }}
	unsaid := providertest.Defect{Forge: func(f *providertest.Forgery) { delete(f.Claims, "acr") }}
	for name, c := range map[string]struct {
		req    provider.Request
		defect providertest.Defect
		reason string
	}{
		"old auth_time":               {provider.Request{MaxAge: 10 * time.Minute}, ago(11 * time.Minute), provider.ReasonAge},
		"no auth_time":                {provider.Request{MaxAge: 10 * time.Minute}, none, provider.ReasonAge},
		"auth_time before the prompt": {provider.Request{Prompt: "login"}, ago(2 * time.Minute), provider.ReasonAge},
		"lower acr":                   {provider.Request{ACR: []string{"2", "3"}}, low, provider.ReasonLevel},
		"no acr":                      {provider.Request{ACR: []string{"2"}}, unsaid, provider.ReasonLevel},
		"fresh enough":                {provider.Request{MaxAge: 10 * time.Minute}, ago(9 * time.Minute), ""},
		"nothing asked":               {provider.Request{}, ago(9 * time.Hour), ""},
	} {
		s.Break(openid.PathToken, s.IDToken(c.defect))
		tx, callback := arrive(t, s, p, c.req)
		_, _, err := p.Redeem(t.Context(), tx, callback)
		if c.reason == "" && err != nil || c.reason != "" && (fault.From(err).Reason != c.reason || fault.KindOf(err) != fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testPushed(t *testing.T) {
	for name, want := range map[string]struct{ configured, demanded bool }{"configured": {true, false}, "demanded by the metadata": {false, true}} {
		s := server(t, func(c *openid.Config) { c.RequirePAR = want.demanded })
		p := open(t, s, func(c *provider.Config) { c.PAR = want.configured })
		address, tx := start(t, p, provider.Request{ACR: []string{"1"}})
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if q := u.Query(); len(q) != 2 || q.Get("client_id") != clientID || q.Get("request_uri") == "" {
			t.Errorf("%s: the front sees %s", name, address)
		}
		calls := s.Calls(openid.PathPAR)
		if len(calls) != 1 || calls[0].Auth == "" || calls[0].Form.Get("code_challenge") == "" || calls[0].Form.Get("acr_values") != "1" {
			t.Errorf("%s: pushed %+v", name, calls)
		}
		if _, _, err := p.Redeem(t.Context(), tx, s.Browser(t).Login(address, "alice")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if page := s.Browser(t).Open(address); page.Status != http.StatusBadRequest {
			t.Errorf("%s: a request_uri was good twice: %d", name, page.Status)
		}
		s.Break(openid.PathPAR, providertest.Status(http.StatusServiceUnavailable, 0))
		if address, _, err := p.AuthorizationURL(t.Context(), provider.Request{RedirectURI: callbackURI}); fault.KindOf(err) != fault.Unavailable || address != "" {
			t.Errorf("%s: not pushed, and yet sent off to %q (%v)", name, address, err)
		}
	}
	s := server(t, func(c *openid.Config) { c.RequirePAR = true })
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { delete(m, "pushed_authorization_request_endpoint") }))
	if _, err := provider.Open(t.Context(), config(s, nil)); err == nil {
		t.Error("opened a provider that wants requests pushed, and says not where")
	}
}

// testAssertion: keys before secrets, a JWT-SVID before keys; an assertion is for one provider, short, used once.
func testAssertion(t *testing.T) {
	domain, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := provider.NewAssertions(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	id := domain.ID("/gateway")
	s := server(t, func(c *openid.Config) {
		c.Clients[0].SPIFFEID, c.Clients[0].Keys, c.Bundles = id, keys.Public(), domain.Source(id)
	})
	all := provider.Auth{SVID: domain.Source(id).FetchJWTSVID, Assertions: keys, Secret: bySecret}
	for want, announced := range map[string][]any{
		provider.BySVID:         nil,
		provider.ByPrivateKey:   {"client_secret_basic", "private_key_jwt"},
		provider.BySecretPosted: {"client_secret_post"},
		provider.BySecretBasic:  {"tls_client_auth", "client_secret_post", "client_secret_basic"},
	} {
		s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) {
			if announced != nil {
				m["token_endpoint_auth_methods_supported"] = announced
			}
		}))
		p := open(t, s, func(c *provider.Config) { c.Auth = all })
		tokens, claims := login(t, s, p)
		if _, _, err := p.Refresh(t.Context(), tokens.Refresh, claims); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		if err := p.Revoke(t.Context(), tokens.Refresh); err != nil {
			t.Errorf("%s: %v", want, err)
		}
		calls := s.Calls(openid.PathToken)
		if got := calls[len(calls)-1].Auth; got != want {
			t.Errorf("with %q announced the client proves itself by %q, want %q", announced, got, want)
		}
	}
	// Keycloak takes JWT-SVIDs and does not say so.
	s.Break(openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []any{"private_key_jwt"} }))
	p := open(t, s, func(c *provider.Config) { c.Auth, c.Auth.Method = all, provider.BySVID })
	login(t, s, p)
	checkAssertions(t, s)
}

func checkAssertions(t *testing.T, s *providertest.Server) {
	t.Helper()
	seen, n := map[string]bool{}, 0
	for _, c := range s.Calls(openid.PathToken) {
		if c.Auth != provider.ByPrivateKey {
			continue
		}
		claims := payload(t, c.Form.Get("client_assertion"))
		life := claims["exp"].(float64) - claims["iat"].(float64)
		if jti := claims["jti"].(string); seen[jti] || claims["aud"] != s.Issuer() || life > 60 || claims["iss"] != clientID || claims["sub"] != clientID {
			t.Errorf("an assertion says %v", claims)
		} else {
			seen[jti] = true
		}
		n++
		form := url.Values{}
		for name, values := range c.Form {
			form[name] = values
		}
		resp, err := s.Client().PostForm(s.URL(openid.PathToken), form)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("an assertion was good twice: %s", resp.Status)
		}
	}
	if n < 2 {
		t.Errorf("%d assertions were seen", n)
	}
}

// testNoPassword is partly review: nothing here can send it, and our provider has it not.
func testNoPassword(t *testing.T) {
	s := server(t, nil)
	resp, err := s.Client().PostForm(s.URL(openid.PathToken), url.Values{
		"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}, "client_id": {clientID}, "client_secret": {password},
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("the password grant: %s", resp.Status)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err != nil || !strings.HasSuffix(file, "_test.go") &&
			(strings.Contains(string(data), `{"password"}`) || strings.Contains(string(data), "PasswordCredentialsToken")) {
			t.Errorf("%s names the password grant (%v)", file, err)
		}
	}
}

func testMetadata(t *testing.T) {
	s := server(t, nil)
	for name, change := range map[string]func(map[string]any){
		"another issuer":           func(m map[string]any) { m["issuer"] = "https://evil.example.test" },
		"a slash more":             func(m map[string]any) { m["issuer"] = s.Issuer() + "/" },
		"no issuer":                func(m map[string]any) { delete(m, "issuer") },
		"no token endpoint":        func(m map[string]any) { delete(m, "token_endpoint") },
		"token endpoint over http": func(m map[string]any) { m["token_endpoint"] = "http://op.example.test/token" },
		"keys over http":           func(m map[string]any) { m["jwks_uri"] = "http://op.example.test/jwks" },
		"logout by script":         func(m map[string]any) { m["end_session_endpoint"] = "javascript:alert(1)" },
		"no code flow":             func(m map[string]any) { m["response_types_supported"] = []any{"id_token"} },
		"plain challenges only":    func(m map[string]any) { m["code_challenge_methods_supported"] = []any{"plain"} },
		"shared secrets only":      func(m map[string]any) { m["id_token_signing_alg_values_supported"] = []any{"HS256", "none"} },
		"no way to prove oneself":  func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = []any{"tls_client_auth"} },
	} {
		s.Break(openid.PathDiscovery, providertest.Answer(change))
		if _, err := provider.Open(t.Context(), config(s, nil)); err == nil {
			t.Errorf("%s: the start goes on", name)
		}
	}
	s.Break(openid.PathDiscovery, providertest.Raw([]byte("<html>")))
	if _, err := provider.Open(t.Context(), config(s, nil)); err == nil {
		t.Error("no JSON: the start goes on")
	}
}

// testUnknownKey: a new key is found without a restart, also right after the keys were fetched, and nonsense makes us fetch
// once in an interval.
func testUnknownKey(t *testing.T) {
	const interval = 300 * time.Millisecond
	s := server(t, nil)
	now := newClock()
	p := open(t, s, func(c *provider.Config) { c.Now, c.KeyInterval = now.Now, interval })
	login(t, s, p)
	unknown := defect(t, providertest.LogoutDefects(), "unknown kid")
	before := len(s.Calls(openid.PathJWKS))
	began := time.Now()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "s", unknown)); fault.KindOf(err) != fault.InvalidRequest {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n, most := len(s.Calls(openid.PathJWKS))-before, 1+int(time.Since(began)/interval); n < 1 || n > most {
		t.Errorf("100 unknown keys within %v: %d fetches, want at most %d", time.Since(began), n, most)
	}
	if err := s.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	login(t, s, p) // a moment after that
	if err := s.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.VerifyLogoutToken(t.Context(), s.LogoutToken(clientID, "alice", "s")); err != nil {
		t.Errorf("a logout right after a rotation: %v", err)
	}
	// What the provider took back is not believed for ever.
	claims := s.LogoutClaims(clientID, "alice", "s")
	then := now.Now().Add(6 * time.Minute)
	claims["iat"], claims["exp"] = then.Unix(), then.Add(2*time.Minute).Unix()
	old := s.Forge(&providertest.Forgery{Header: map[string]any{"typ": "logout+jwt"}, Claims: claims})
	if err := s.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	s.RetireKeys()
	now.Add(6 * time.Minute)
	for ctx := deadline(t); ; { // fetched in the background: good once, then a replay, then nobody's
		_, err := p.VerifyLogoutToken(t.Context(), old)
		if fault.From(err).Reason == provider.ReasonLogout {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("signed by a key that was taken back: %v", err)
		}
	}
}
