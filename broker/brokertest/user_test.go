package brokertest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker"
	"github.com/intercom-broker/intercom/broker/brokertest"
	tokens "github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// openIDIssuer returns an issuer's URL, and what signs its tokens.
func openIDIssuer(t *testing.T) (issuer string, sign func(jwt.MapClaims) string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.HandleFunc("/.well-known/openid-configuration", answer(map[string]any{"issuer": srv.URL, "jwks_uri": srv.URL + "/keys"}))
	mux.HandleFunc("/keys", answer(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}}))
	return srv.URL, func(claims jwt.MapClaims) string {
		tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		tok.Header["kid"] = "k"
		raw, err := tok.SignedString(key)
		must(t, err)
		return raw
	}
}

// TestAUserOfAnOpenIDIssuer goes the whole way: an issuer's access token in, a token of ours out, which the
// called service verifies, and which names the user and who acts for it.
func TestAUserOfAnOpenIDIssuer(t *testing.T) {
	issuer, sign := openIDIssuer(t)
	rules := "p, spiffe://intercom.test/orders, exchange, audience/inventory, allow\n" +
		"p, user:" + issuer + "|ada, exchange, audience/inventory, allow\n"
	b := brokertest.Start(t, brokertest.Options{Policy: rules, Services: someServices, Change: func(c *broker.Config) {
		u, err := url.Parse(issuer)
		must(t, err)
		c.Issuers = []broker.OpenIDIssuer{{URL: strict.URL{URL: *u}, Audience: []string{"intercom"}}}
	}})
	ask := func(sub, aud string) (*intercomv1.ExchangeResponse, error) {
		return b.Client(t, "/orders").Exchange(t.Context(), &intercomv1.ExchangeRequest{
			Audience: []string{"inventory"}, SubjectTokenType: tokens.TypeAccessToken,
			SubjectToken: sign(jwt.MapClaims{"iss": issuer, "sub": sub, "aud": aud, "scope": "openid", "exp": time.Now().Add(2 * time.Minute).Unix()}),
		})
	}
	issued, err := ask("ada", "intercom")
	must(t, err)
	v := token.Verifier{Issuer: b.Issuer, Audience: "inventory", Keys: token.RemoteKeys(nil, b.Issuer+"/oauth2/jwks")}
	claims, err := v.Verify(t.Context(), issued.GetAccessToken(), nil)
	must(t, err)
	if claims.User == nil || *claims.User != (token.User{Issuer: issuer, Subject: "ada"}) || claims.Act == nil || claims.Act.Subject != b.ID("/orders").String() {
		t.Errorf("%+v", claims)
	}
	if time.Until(claims.Expiry) > 2*time.Minute {
		t.Errorf("it outlives the user's token: %s", claims.Expiry)
	}
	if _, err := ask("bob", "intercom"); fault.From(err).Kind != fault.InvalidTarget {
		t.Errorf("a user without a rule: %v", err)
	}
	if _, err := ask("ada", "another"); fault.From(err).Reason != "SUBJECT_TOKEN_INVALID" {
		t.Errorf("a token that is meant for another: %v", err)
	}
}
