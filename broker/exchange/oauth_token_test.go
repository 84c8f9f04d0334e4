package exchange_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/audit"
	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
)

const tokenPath = "/oauth2/token"

// TestClientCredentials holds the answer of RFC 6749, section 5.1, member by member.
func TestClientCredentials(t *testing.T) {
	d := newDoor(t)
	a := d.post(t, "/orders", tokenPath, "grant_type", "client_credentials", "audience", "ledger", "scope", "write read",
		"client_id", "spiffe://a.test/orders", "unknown", "ignored")
	raw, lives := a.str("access_token"), a.json["expires_in"].(float64)
	delete(a.json, "access_token")
	delete(a.json, "expires_in")
	if diff := cmp.Diff(map[string]any{"token_type": "Bearer", "scope": "write read"}, a.json); diff != "" || a.status != http.StatusOK {
		t.Errorf("%d\n%s", a.status, diff)
	}
	if lives < 290 || lives > 300 {
		t.Errorf("expires_in %v", lives)
	}
	claims := d.read(t, raw, "ledger")
	if claims.Subject != "spiffe://a.test/orders" || claims.ClientID != claims.Subject || claims.Act != nil || claims.Confirmation == "" {
		t.Errorf("%+v", claims)
	}
	for header, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"} {
		if got := a.header.Get(header); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	if decision, outcome := d.entries(t, a.header.Get(fault.DecisionHeader)); !decision.Allow || decision.Resource != "audience/ledger" || outcome.Result != "ok" {
		t.Errorf("the log has %+v and %+v", decision, outcome)
	}
	for header := range a.header {
		if strings.HasPrefix(header, "Access-Control-") {
			t.Errorf("a browser's page would be let in by %s", header)
		}
	}
}

// TestClientsBindTheirTokens: the certificate of the connection, and nothing for who shows none.
func TestClientsBindTheirTokens(t *testing.T) {
	d := newDoor(t)
	svid, err := d.source("/orders").GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	bySVID := []string{"client_assertion_type", authn.AssertionJWTSVID, "client_assertion", d.svid(t, "/orders")}
	asked := []string{"grant_type", "client_credentials", "audience", "inventory"}
	if a := d.post(t, "", tokenPath, append(asked, bySVID...)...); a.status != http.StatusOK || d.read(t, a.str("access_token"), "inventory").Confirmation != "" {
		t.Errorf("by JWT-SVID: %d %s", a.status, a.text)
	}
	asked[3] = "ledger" // which takes bound ones only
	if a := d.post(t, "", tokenPath, append(asked, bySVID...)...); a.status != http.StatusBadRequest || a.str("error") != "invalid_request" {
		t.Errorf("by JWT-SVID, for a service that wants bound ones: %d %s", a.status, a.text)
	}
	for name, form := range map[string][]string{"by certificate": asked, "by both": append(asked, bySVID...)} {
		a := d.post(t, "/orders", tokenPath, form...)
		if a.status != http.StatusOK || d.read(t, a.str("access_token"), "ledger").Confirmation != mtls.Thumbprint(svid.Certificates[0]) {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
}

func TestTokenExchangeGrant(t *testing.T) {
	d := newDoor(t)
	held := d.mint(t, "/orders", "inventory")
	a := d.post(t, "/inventory", tokenPath, "grant_type", exchange.GrantExchange, "resource", "https://ledger.internal", "scope", "read",
		"subject_token", held, "subject_token_type", exchange.TypeAccessToken, "requested_token_type", exchange.TypeAccessToken)
	claims := d.read(t, a.str("access_token"), "ledger")
	got := []any{a.status, a.str("issued_token_type"), a.str("token_type"), a.str("scope"), claims.Subject, claims.Act.Subject, claims.ClientID}
	want := []any{200, exchange.TypeAccessToken, "Bearer", "read", "spiffe://a.test/orders", "spiffe://a.test/inventory", "spiffe://a.test/inventory"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A JWT-SVID as the subject token.
	a = d.post(t, "/orders", tokenPath, "grant_type", exchange.GrantExchange, "audience", "inventory",
		"subject_token", d.svid(t, "/orders"), "subject_token_type", exchange.TypeJWT)
	if a.status != http.StatusOK {
		t.Errorf("a JWT-SVID: %d %s", a.status, a.text)
	}
}

// TestTokenErrors has each refusal in the words of RFC 6749, section 5.2, and RFC 8693, section 2.2.2.
func TestTokenErrors(t *testing.T) {
	d := newDoor(t)
	held := d.mint(t, "/orders", "inventory")
	exchanged := func(more ...string) []string {
		return append([]string{"grant_type", exchange.GrantExchange, "audience", "ledger"}, more...)
	}
	for name, c := range map[string]struct {
		as      string
		form    []string
		status  int
		code    string
		decided bool
	}{
		"no grant":               {"/orders", []string{"audience", "ledger"}, 400, "invalid_request", false},
		"an empty grant":         {"/orders", []string{"grant_type", "", "audience", "ledger"}, 400, "invalid_request", false},
		"another grant":          {"/orders", []string{"grant_type", "password", "username", "u"}, 400, "unsupported_grant_type", false},
		"a denied grant":         {"/batch", []string{"grant_type", "client_credentials", "audience", "inventory"}, 400, "unauthorized_client", true},
		"no target":              {"/orders", []string{"grant_type", "client_credentials"}, 400, "invalid_request", false},
		"two audiences":          {"/orders", []string{"grant_type", "client_credentials", "audience", "ledger", "audience", "bare"}, 400, "invalid_request", false},
		"unknown audience":       {"/orders", []string{"grant_type", "client_credentials", "audience", "nowhere"}, 400, "invalid_target", true},
		"a ghost":                {"/orders", []string{"grant_type", "client_credentials", "audience", "ghost"}, 400, "invalid_target", true},
		"a denied audience":      {"/orders", []string{"grant_type", "client_credentials", "audience", "hidden"}, 400, "invalid_target", true},
		"unknown resource":       {"/orders", []string{"grant_type", "client_credentials", "resource", "https://nowhere.internal"}, 400, "invalid_target", true},
		"resource no URI":        {"/orders", []string{"grant_type", "client_credentials", "resource", "ledger"}, 400, "invalid_request", false},
		"unknown scope":          {"/orders", []string{"grant_type", "client_credentials", "audience", "ledger", "scope", "own"}, 400, "invalid_scope", true},
		"nobody":                 {"", []string{"grant_type", "client_credentials", "audience", "ledger"}, 401, "invalid_client", false},
		"another client_id":      {"/orders", []string{"grant_type", "client_credentials", "audience", "ledger", "client_id", "spiffe://a.test/x"}, 401, "invalid_client", false},
		"a secret":               {"/orders", []string{"grant_type", "client_credentials", "audience", "ledger", "client_secret", "s"}, 401, "invalid_client", false},
		"two proofs":             {"/thief", []string{"grant_type", "client_credentials", "audience", "ledger", "client_assertion_type", authn.AssertionJWT, "client_assertion", d.svid(t, "/orders")}, 401, "invalid_client", false},
		"an assertion alone":     {"", []string{"grant_type", "client_credentials", "audience", "ledger", "client_assertion", d.svid(t, "/orders")}, 400, "invalid_request", false},
		"no subject token":       {"/inventory", exchanged(), 400, "invalid_request", false},
		"a type without a token": {"/inventory", exchanged("subject_token_type", exchange.TypeAccessToken), 400, "invalid_request", false},
		"a token without a type": {"/inventory", exchanged("subject_token", held), 400, "invalid_request", false},
		"a bad subject token":    {"/inventory", exchanged("subject_token", held+"A", "subject_token_type", exchange.TypeAccessToken), 400, "invalid_request", false},
		"a type that is not":     {"/inventory", exchanged("subject_token", held, "subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), 400, "invalid_request", false},
		"a requested type":       {"/inventory", exchanged("subject_token", held, "subject_token_type", exchange.TypeAccessToken, "requested_token_type", "urn:ietf:params:oauth:token-type:saml2"), 400, "invalid_request", false},
		"an actor's type alone":  {"/inventory", exchanged("subject_token", held, "subject_token_type", exchange.TypeAccessToken, "actor_token_type", exchange.TypeJWT), 400, "invalid_request", false},
		"a stolen token":         {"/thief", exchanged("subject_token", held, "subject_token_type", exchange.TypeAccessToken), 400, "invalid_request", true},
		"a wider scope":          {"/inventory", exchanged("subject_token", held, "subject_token_type", exchange.TypeAccessToken, "scope", "admin"), 400, "invalid_scope", true},
		"a resource elsewhere":   {"/orders", []string{"grant_type", "client_credentials", "audience", "ledger", "resource", "https://crm.internal"}, 400, "invalid_target", true},
	} {
		a := d.post(t, c.as, tokenPath, c.form...)
		if a.status != c.status || a.str("error") != c.code || a.str("error_description") == "" || len(a.json) != 2 {
			t.Errorf("%s: %d %s, want %d %s", name, a.status, a.text, c.status, c.code)
		}
		if (a.header.Get(fault.DecisionHeader) != "") != c.decided || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", name, a.header)
		}
	}
	if a := d.post(t, "/batch", tokenPath, exchanged("subject_token", d.svid(t, "/batch"), "subject_token_type", exchange.TypeJWT)...); a.str("error") != "invalid_target" {
		t.Errorf("the grant that is not denied: %s", a.text)
	}
}

// TestForms has what is no form, before anybody is asked who they are.
func TestForms(t *testing.T) {
	d := newDoor(t)
	good := encode("grant_type", "client_credentials", "audience", "inventory")
	for name, c := range map[string]struct {
		change func(*http.Request)
		body   string
		status int
	}{
		"as it should be": {func(*http.Request) {}, good, 200},
		"with a charset": {func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		}, good, 200},
		"another charset": {func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-16")
		}, good, 400},
		"JSON":                {func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, `{"grant_type":"client_credentials"}`, 400},
		"no type":             {func(r *http.Request) { r.Header.Del("Content-Type") }, good, 400},
		"two types":           {func(r *http.Request) { r.Header.Add("Content-Type", "application/x-www-form-urlencoded") }, good, 400},
		"compressed":          {func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, good, 400},
		"a query":             {func(r *http.Request) { r.URL.RawQuery = "grant_type=client_credentials" }, good, 400},
		"an empty query":      {func(r *http.Request) { r.URL.ForceQuery = true }, good, 400},
		"nothing":             {func(*http.Request) {}, "", 400},
		"twice":               {func(*http.Request) {}, good + "&grant_type=client_credentials", 400},
		"unknown twice":       {func(*http.Request) {}, good + "&x=1&x=2", 400},
		"a bad escape":        {func(*http.Request) {}, good + "&x=%zz", 400},
		"a semicolon":         {func(*http.Request) {}, good + ";x=1", 400},
		"not UTF-8":           {func(*http.Request) {}, good + "&x=%ff", 400},
		"a control character": {func(*http.Request) {}, good + "&x=%00", 400},
		"too large":           {func(*http.Request) {}, good + "&x=" + strings.Repeat("a", 64<<10), 413},
	} {
		req := d.request(t, tokenPath, c.body)
		c.change(req)
		a := send(t, d.client("/orders"), req)
		if a.status != c.status || c.status != 200 && a.str("error") != "invalid_request" {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.text, c.status)
		}
	}
}

func TestMethodsAndChallenges(t *testing.T) {
	d := newDoor(t)
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions} {
			req := d.request(t, path, "")
			req.Method = method
			if a := send(t, d.client("/orders"), req); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
		for sent, challenge := range map[string]string{"Basic eDp5": `Basic realm="intercom"`, "bearer x": `bearer realm="intercom"`, "": "", "\x7fevil": `Basic realm="intercom"`} {
			req := d.request(t, path, encode("grant_type", "client_credentials", "audience", "inventory", "token", "x"))
			if sent != "" && sent[0] == '\x7f' {
				sent = "Evil,x"
			}
			req.Header.Set("Authorization", sent)
			if a := send(t, d.client(""), req); a.status != http.StatusUnauthorized || a.str("error") != "invalid_client" || a.header.Get("WWW-Authenticate") != challenge {
				t.Errorf("%s with %q: %d %s %q", path, sent, a.status, a.text, a.header.Get("WWW-Authenticate"))
			}
		}
		// What a proxy would say of a certificate is never believed.
		req := d.request(t, path, encode("grant_type", "client_credentials", "audience", "inventory", "token", "x"))
		for _, header := range []string{"X-Forwarded-Client-Cert", "X-SSL-Client-Cert", "Client-Cert", "X-Client-Cert"} {
			req.Header.Set(header, "URI=spiffe://a.test/orders")
		}
		if a := send(t, d.client(""), req); a.status != http.StatusUnauthorized {
			t.Errorf("%s with a certificate in a header: %d %s", path, a.status, a.text)
		}
	}
}

// TestADeniedGrantIsInTheLog under the id that the client is told.
func TestADeniedGrantIsInTheLog(t *testing.T) {
	d := newDoor(t)
	a := d.post(t, "/batch", tokenPath, "grant_type", "client_credentials", "audience", "inventory")
	var decision audit.Entry
	if decision, _ = d.entries(t, a.header.Get(fault.DecisionHeader)); decision.Allow || decision.Resource != "grant/client-credentials" {
		t.Errorf("the log has %+v", decision)
	}
}
