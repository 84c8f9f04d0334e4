package exchange_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// provider is an OpenID issuer.
type provider struct {
	*httptest.Server
	key *ecdsa.PrivateKey
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// token is an access token of ada's, with changes.
func (p *provider) token(t testing.TB, change jwt.MapClaims) secret.Value {
	t.Helper()
	claims := jwt.MapClaims{"iss": p.URL, "sub": "ada", "aud": "us", "scope": "read write", "groups": []string{"staff", "testers"}, "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, change)
	return signed(t, p.key, claims)
}

// parts are what signs the tokens that a broker's own verifiers take.
type parts struct {
	*broker
	idp, other *provider
	domain     *ecdsa.PrivateKey
}

// withParts gives a broker the verifiers that it has in production, two issuers and a trust domain.
func withParts(t testing.TB) *parts {
	t.Helper()
	p := &parts{broker: newBroker(t), idp: newProvider(t), other: newProvider(t)}
	users, err := authn.NewUsers(authn.Issuer{URL: p.idp.URL, Audience: []string{"us"}}, authn.Issuer{URL: p.other.URL, Audience: []string{"us"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.domain, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	bundle := jwtbundle.New(ordersID.TrustDomain())
	if err := bundle.AddJWTAuthority("k", p.domain.Public()); err != nil {
		t.Fatal(err)
	}
	svids, err := authn.New(authn.Config{Domains: []spiffeid.TrustDomain{ordersID.TrustDomain()}, JWTBundles: bundle, Audience: issuer})
	if err != nil {
		t.Fatal(err)
	}
	own := exchange.OwnTokens(issuer, token.LocalKeys(p.ring.Lookup), nil)
	p.Subjects = exchange.SubjectTokens(issuer, own, exchange.JWTSVIDs(svids), users)
	return p
}

// svid is a JWT-SVID of orders', with changes.
func (p *parts) svid(t testing.TB, change jwt.MapClaims) secret.Value {
	t.Helper()
	claims := jwt.MapClaims{"sub": ordersID.String(), "aud": issuer, "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(claims, change)
	return signed(t, p.domain, claims)
}

func signed(t testing.TB, key *ecdsa.PrivateKey, claims jwt.MapClaims) secret.Value {
	t.Helper()
	tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	tok.Header["kid"] = "k"
	raw, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return secret.FromString(raw)
}

func trade(subject secret.Value, kind, audience string) exchange.Request {
	return exchange.Request{Audience: []string{audience}, SubjectToken: subject, SubjectTokenType: kind}
}

// TestSubjectTokensByTheirType: of a JWT it is its issuer who tells what it is, and a JWT-SVID is no access
// token (draft-ietf-oauth-spiffe-client-auth).
func TestSubjectTokensByTheirType(t *testing.T) {
	p := withParts(t)
	ours := given(t, p.broker, as(t, ordersID))
	foreign := newProvider(t)
	for name, c := range map[string]struct {
		raw         secret.Value
		access, jwt bool
	}{
		"ours":                            {ours, true, true},
		"an issuer's":                     {p.idp.token(t, nil), true, true},
		"another issuer's":                {p.other.token(t, nil), true, true},
		"a JWT-SVID":                      {p.svid(t, nil), false, true},
		"a JWT-SVID that says its maker":  {p.svid(t, jwt.MapClaims{"iss": "https://spire.test"}), false, true},
		"a JWT-SVID that says it is ours": {p.svid(t, jwt.MapClaims{"iss": issuer}), false, false},
		"of an issuer that is not ours":   {foreign.token(t, nil), false, false},
		"in another issuer's name":        {foreign.token(t, jwt.MapClaims{"iss": p.idp.URL}), false, false},
		"an ID token":                     {p.idp.token(t, jwt.MapClaims{"nonce": "n"}), false, false},
		"meant for another":               {p.idp.token(t, jwt.MapClaims{"aud": "account"}), false, false},
		"expired":                         {p.idp.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}), false, false},
	} {
		for kind, ok := range map[string]bool{exchange.TypeAccessToken: c.access, exchange.TypeJWT: c.jwt} {
			_, err := p.Exchange(as(t, ordersID), trade(c.raw, kind, "inventory"))
			if ok && err != nil {
				t.Errorf("%s as %s: %v", name, kind, err)
			}
			if !ok {
				want(t, name+" as "+kind, err, fault.InvalidRequest, "SUBJECT_TOKEN_INVALID")
			}
		}
	}
}

// TestMayActAsTokensHaveIt: what cannot be read lets nobody act, and never everybody.
func TestMayActAsTokensHaveIt(t *testing.T) {
	p := withParts(t)
	caller := inventoryID.String()
	for name, c := range map[string]struct {
		may    any
		reason string
	}{
		"the caller":                  {map[string]any{"sub": caller}, ""},
		"with what is worth knowing":  {map[string]any{"sub": caller, "email": "team@a.test"}, ""},
		"another":                     {map[string]any{"sub": ordersID.String() + "/x"}, "MAY_ACT"},
		"the caller at another place": {map[string]any{"sub": caller, "iss": "https://elsewhere.test"}, "MAY_ACT"},
		"nothing":                     {nil, "SUBJECT_TOKEN_INVALID"},
		"nobody":                      {map[string]any{}, "SUBJECT_TOKEN_INVALID"},
		"a text":                      {caller, "SUBJECT_TOKEN_INVALID"},
		"a place that cannot be read": {map[string]any{"sub": caller, "iss": 1}, "SUBJECT_TOKEN_INVALID"},
		"a place that has no name":    {map[string]any{"sub": caller, "iss": ""}, "SUBJECT_TOKEN_INVALID"},
		"several":                     {[]any{map[string]any{"sub": caller}}, "SUBJECT_TOKEN_INVALID"},
	} {
		change := jwt.MapClaims{"may_act": c.may}
		for kind, raw := range map[string]secret.Value{exchange.TypeAccessToken: p.idp.token(t, change), exchange.TypeJWT: p.svid(t, change)} {
			_, err := p.Exchange(as(t, inventoryID), trade(raw, kind, "bare"))
			switch e := fault.From(err); {
			case c.reason != "":
				want(t, name+" in "+kind, err, fault.InvalidRequest, c.reason)
			case err != nil:
				t.Errorf("%s in %s: %v (%v)", name, kind, err, e.Unwrap())
			}
		}
	}
}

// TestAnActorTokenIsTheCallers, whichever kind it is of.
func TestAnActorTokenIsTheCallers(t *testing.T) {
	p := withParts(t)
	for name, c := range map[string]struct {
		actor  secret.Value
		kind   string
		reason string
	}{
		"its JWT-SVID":          {p.svid(t, nil), exchange.TypeJWT, ""},
		"a token of ours":       {given(t, p.broker, as(t, ordersID)), exchange.TypeAccessToken, ""},
		"another's JWT-SVID":    {p.svid(t, jwt.MapClaims{"sub": inventoryID.String()}), exchange.TypeJWT, "ACTOR_NOT_CALLER"},
		"a user's":              {p.idp.token(t, nil), exchange.TypeAccessToken, "ACTOR_NOT_CALLER"},
		"a JWT-SVID for others": {p.svid(t, jwt.MapClaims{"aud": "https://elsewhere.test"}), exchange.TypeJWT, "ACTOR_TOKEN_INVALID"},
	} {
		req := trade(p.idp.token(t, nil), exchange.TypeAccessToken, "inventory")
		req.ActorToken, req.ActorTokenType = c.actor, c.kind
		issued, err := p.Exchange(as(t, ordersID), req)
		if c.reason != "" {
			want(t, name, err, fault.InvalidRequest, c.reason)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		claims := p.read(t, string(issued.Token.Reveal()), "inventory")
		if claims.Act == nil || claims.Act.Subject != ordersID.String() || claims.Act.Act != nil || claims.User == nil {
			t.Errorf("%s: %+v", name, claims)
		}
	}
}

// FuzzSubjectTokens: whatever is brought as a subject token, of either type, is refused as such, but for what
// says the same as a good one.
func FuzzSubjectTokens(f *testing.F) {
	p := withParts(f)
	user, svid := p.idp.token(f, nil), p.svid(f, nil)
	said := func(raw string) string { // an ECDSA signature has a twin
		if i := strings.LastIndexByte(raw, '.'); i >= 0 {
			return raw[:i]
		}
		return raw
	}
	good := map[string]bool{}
	for _, raw := range []secret.Value{user, svid} {
		text := string(raw.Reveal())
		good[said(text)] = true
		for _, seed := range []string{text, text + "\n", text[1:], said(text), said(text) + "."} {
			f.Add(seed)
		}
	}
	for _, payload := range []string{
		`{"iss":"` + p.idp.URL + `"}`, `{"ISS":"` + p.idp.URL + `"}`, `{"iss":"` + issuer + `","aud":["ledger"]}`, `{"iss":["x"]}`, `null`, `[]`, `{"iss":"x","iss":"` + issuer + `"}`,
	} {
		f.Add("e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".e30")
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for kind, verify := range p.Subjects {
			subject, err := verify(t.Context(), raw)
			switch {
			case err == nil && !good[said(raw)]:
				t.Errorf("%q as %s is %+v", raw, kind, subject)
			case err == nil && (subject.User == nil) == subject.Workload.IsZero():
				t.Errorf("%q as %s is one and the other, or neither: %+v", raw, kind, subject)
			case err != nil && !errors.Is(err, fault.Unauthenticated) && !errors.Is(err, fault.Unavailable):
				t.Errorf("%q as %s: %v", raw, kind, err)
			}
		}
	})
}
