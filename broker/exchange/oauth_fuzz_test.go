package exchange_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/token"
)

// FuzzTokenFormMintsForNobodyUnproven: whatever the form, its type and its query are, without a proof of
// who asks there is no token, and every answer is one of the protocol's.
func FuzzTokenFormMintsForNobodyUnproven(f *testing.F) {
	d := newOAuth(f)
	mux := http.NewServeMux()
	d.oauth.Mount(mux)
	stolen := strings.Split(d.svid(f, "/orders"), ".")
	const kind = "application/x-www-form-urlencoded"
	for _, seed := range []string{
		"grant_type=client_credentials&audience=inventory",
		"grant_type=client_credentials&audience=inventory&client_id=spiffe://a.test/orders",
		"grant_type=client_credentials&audience=inventory&client_id=spiffe%3A%2F%2Fa.test%2Forders&client_secret=s",
		encode("grant_type", exchange.GrantExchange, "audience", "ledger", "subject_token", "a.b.c", "subject_token_type", exchange.TypeJWT),
		encode("grant_type", "client_credentials", "audience", "inventory", "client_assertion_type", authn.AssertionJWTSVID, "client_assertion", stolen[0]+"."+stolen[1]+".AA"),
		"grant_type=client_credentials&grant_type=client_credentials", "%zz", "=", "&&&", "a;b", "token=x", "grant_type=%00",
	} {
		f.Add(seed, kind, "", "")
	}
	f.Add("{}", "application/json", "grant_type=client_credentials", "Bearer x")
	f.Add("audience=inventory", kind+"; charset=latin1", "", "Basic eDp5")
	f.Fuzz(func(t *testing.T, body, contentType, query, authorization string) {
		for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.URL.RawQuery = query
			r.Header["Content-Type"], r.Header["Authorization"] = []string{contentType}, []string{authorization}
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			if w.Code != http.StatusBadRequest && w.Code != http.StatusUnauthorized && w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "access_token\"") || !strings.HasPrefix(w.Body.String(), `{"error":"invalid_`) {
				t.Errorf("%s: %s", path, w.Body)
			}
		}
	})
}

// FuzzTokenFormNeverWidens: whatever a client that is who it says asks for, what it gets is its own, for a
// service that a rule names, and within that service's scope.
func FuzzTokenFormNeverWidens(f *testing.F) {
	d := newOAuth(f)
	mux := http.NewServeMux()
	d.oauth.Mount(mux)
	proof := []string{"client_assertion_type", authn.AssertionJWTSVID, "client_assertion", d.svid(f, "/orders")}
	for _, seed := range []string{
		encode("grant_type", "client_credentials", "audience", "inventory", "scope", "read"), encode("grant_type", "client_credentials", "resource", "https://bare.internal"),
		encode("grant_type", "client_credentials", "audience", "inventory", "scope", "read admin"), encode("grant_type", "client_credentials", "audience", "hidden"),
		encode("grant_type", exchange.GrantExchange, "audience", "bare", "subject_token", d.svid(f, "/inventory"), "subject_token_type", exchange.TypeJWT),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(body+"&"+encode(proof...)))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w.Code != http.StatusOK {
			return
		}
		d.checkWidth(t, w.Body.Bytes())
	})
}

// checkWidth reads the token as the service does for which it is.
func (d *door) checkWidth(t *testing.T, body []byte) {
	t.Helper()
	var a struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	most := map[string][]string{"inventory": {"read", "write"}, "bare": nil}
	for audience, scopes := range most {
		v := token.Verifier{Issuer: issuer, Audience: audience, Keys: token.LocalKeys(d.ring.Lookup)}
		claims, err := v.Verify(t.Context(), a.Token, nil)
		if err != nil {
			continue
		}
		for _, s := range claims.Scope {
			if !slices.Contains(scopes, s) {
				t.Errorf("scope %q for %s", s, audience)
			}
		}
		if claims.ClientID != "spiffe://a.test/orders" {
			t.Errorf("%+v", claims)
		}
		return
	}
	t.Errorf("a token for what no rule allows as bearer: %s", body)
}
