package authn_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
)

// provider is an OpenID issuer: metadata, keys, and whatever tokens the test wants signed.
type provider struct {
	*httptest.Server
	key     atomic.Pointer[signingKey]
	down    atomic.Bool
	fetches atomic.Int64
}

type signingKey struct {
	kid string
	*ecdsa.PrivateKey
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{}
	p.rotate(t, "first")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.URL, "jwks_uri": p.URL + "/keys", "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		k := p.key.Load()
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &k.PublicKey, KeyID: k.kid, Algorithm: "ES256", Use: "sig"}}})
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) rotate(t testing.TB, kid string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.key.Store(&signingKey{kid, key})
}

// claims are those of an access token as Keycloak makes them.
func (p *provider) claims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": p.URL, "sub": "f:1:ada", "aud": []string{"intercom", "account"}, "azp": "portal", "typ": "Bearer", "scope": "openid orders.read",
		"exp": time.Now().Add(5 * time.Minute).Unix(), "iat": time.Now().Unix(), "groups": []string{"staff", "Domain Users"}, "sid": "s1", "acr": "1",
	}
}

type change struct {
	claims jwt.MapClaims
	header map[string]any
	method jwt.SigningMethod
	key    crypto.PrivateKey
}

func (p *provider) token(t testing.TB, c change) string {
	t.Helper()
	k := p.key.Load()
	if c.method == nil {
		c.method, c.key = jwt.SigningMethodES256, k.PrivateKey
	}
	claims := p.claims()
	maps.Copy(claims, c.claims)
	for name, v := range claims {
		if v == nil {
			delete(claims, name)
		}
	}
	tok := jwt.NewWithClaims(c.method, claims)
	tok.Header["kid"] = k.kid
	maps.Copy(tok.Header, c.header)
	raw, err := tok.SignedString(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newUsers(t testing.TB, issuers ...*provider) *authn.Users {
	t.Helper()
	var cfg []authn.Issuer
	for _, p := range issuers {
		cfg = append(cfg, authn.Issuer{URL: p.URL, Audience: []string{"intercom", "https://broker.test"}})
	}
	users, err := authn.NewUsers(cfg...)
	if err != nil {
		t.Fatal(err)
	}
	return users
}

func TestAUserOfAnIssuer(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	users := newUsers(t, p, other)
	got, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{}))
	if err != nil {
		t.Fatal(err)
	}
	if time.Until(got.NotAfter) < 4*time.Minute || got.Claims["azp"] != "portal" {
		t.Errorf("%+v", got)
	}
	got.NotAfter, got.Claims = time.Time{}, nil
	want := identity.User{Issuer: p.URL, Subject: "f:1:ada", Groups: []string{"staff", "Domain Users"}, Scopes: []string{"openid", "orders.read"}, Proof: identity.ByOIDC}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !users.Knows(other.URL) || users.Knows("https://elsewhere.test") || (*authn.Users)(nil).Knows(p.URL) {
		t.Error("which issuers are known")
	}
}

// TestTokensThatAreNoUser has one defect each.
func TestTokensThatAreNoUser(t *testing.T) {
	p, other := newProvider(t), newProvider(t)
	users := newUsers(t, p, other)
	past, future := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	public, err := p.key.Load().PublicKey.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"an ID token of Keycloak's":    p.token(t, change{claims: jwt.MapClaims{"typ": "ID"}}),
		"an ID token by its nonce":     p.token(t, change{claims: jwt.MapClaims{"typ": nil, "nonce": "n"}}),
		"an ID token by its hash":      p.token(t, change{claims: jwt.MapClaims{"typ": nil, "at_hash": "h"}}),
		"a logout token":               p.token(t, change{header: map[string]any{"typ": "logout+jwt"}}),
		"a logout token by its events": p.token(t, change{claims: jwt.MapClaims{"typ": nil, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}}),
		"a refresh token":              p.token(t, change{claims: jwt.MapClaims{"typ": "Refresh"}}),
		"meant for others":             p.token(t, change{claims: jwt.MapClaims{"aud": "account"}}),
		"meant for nobody":             p.token(t, change{claims: jwt.MapClaims{"aud": nil}}),
		"expired":                      p.token(t, change{claims: jwt.MapClaims{"exp": past}}),
		"without an end":               p.token(t, change{claims: jwt.MapClaims{"exp": nil}}),
		"made in the future":           p.token(t, change{claims: jwt.MapClaims{"iat": future}}),
		"not yet":                      p.token(t, change{claims: jwt.MapClaims{"nbf": future}}),
		"nobody":                       p.token(t, change{claims: jwt.MapClaims{"sub": nil}}),
		"another issuer's words":       p.token(t, change{claims: jwt.MapClaims{"iss": other.URL}}),
		"another issuer's token":       other.token(t, change{}),
		"unsigned":                     p.token(t, change{method: jwt.SigningMethodNone, key: jwt.UnsafeAllowNoneSignatureType}),
		"signed with the public key":   p.token(t, change{method: jwt.SigningMethodHS256, key: public.Bytes()}),
		"cut off":                      strings.TrimSuffix(p.token(t, change{}), "A")[:200],
		"no token":                     "a.b.c",
		"too long":                     p.token(t, change{claims: jwt.MapClaims{"x": strings.Repeat("x", 17<<10)}}),
		"a line break":                 p.token(t, change{}) + "\n",
	} {
		if got, err := users.FromAccessToken(t.Context(), p.URL, raw); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, raw := range map[string]string{
		"typed by its header":      p.token(t, change{header: map[string]any{"typ": "at+jwt"}, claims: jwt.MapClaims{"typ": nil}}),
		"typed in full":            p.token(t, change{header: map[string]any{"typ": "application/at+jwt"}}),
		"without any type":         p.token(t, change{header: map[string]any{"typ": ""}, claims: jwt.MapClaims{"typ": nil}}),
		"one audience as a string": p.token(t, change{claims: jwt.MapClaims{"aud": "https://broker.test"}}),
		"within the skew":          p.token(t, change{claims: jwt.MapClaims{"exp": time.Now().Add(-10 * time.Second).Unix()}}),
	} {
		if _, err := users.FromAccessToken(t.Context(), p.URL, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeysRotate: a new key is found at once, and made-up ones cost the issuer little.
func TestKeysRotate(t *testing.T) {
	p := newProvider(t)
	users := newUsers(t, p)
	verify := func(raw string) error {
		_, err := users.FromAccessToken(t.Context(), p.URL, raw)
		return err
	}
	if err := verify(p.token(t, change{})); err != nil {
		t.Fatal(err)
	}
	p.rotate(t, "second")
	good := p.token(t, change{})
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		_ = verify(p.token(t, change{header: map[string]any{"kid": "made-up"}}))
	}
	if n := p.fetches.Load(); n > 10 {
		t.Errorf("%d fetches", n)
	}
	if err := verify(good); err != nil {
		t.Errorf("a good token after many bad ones: %v", err)
	}
}

// TestAnIssuerThatIsDown fails its own tokens only, and is found when it is back.
func TestAnIssuerThatIsDown(t *testing.T) {
	down, up := newProvider(t), newProvider(t)
	down.down.Store(true)
	users := newUsers(t, down, up)
	raw := down.token(t, change{})
	if _, err := users.FromAccessToken(t.Context(), down.URL, raw); fault.From(err).Reason != authn.ReasonIssuer || !errors.Is(err, fault.Unavailable) {
		t.Errorf("down: %v", err)
	}
	if _, err := users.FromAccessToken(t.Context(), up.URL, up.token(t, change{})); err != nil {
		t.Errorf("up: %v", err)
	}
	down.down.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, err := users.FromAccessToken(ctx, down.URL, raw)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("back: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	down.rotate(t, "next")
	down.down.Store(true) // with its metadata known, and a key that is not
	if _, err := users.FromAccessToken(t.Context(), down.URL, down.token(t, change{})); !errors.Is(err, fault.Unavailable) {
		t.Errorf("keys that cannot be had: %v", err)
	}
	if _, err := users.FromAccessToken(t.Context(), down.URL, raw); err != nil {
		t.Errorf("a key that is known: %v", err)
	}
}

func TestIssuersAreChecked(t *testing.T) {
	for name, cfg := range map[string][]authn.Issuer{
		"no URL":      {{Audience: []string{"us"}}},
		"no audience": {{URL: "https://idp.test"}},
		"empty":       {{URL: "https://idp.test", Audience: []string{""}}},
		"a bar":       {{URL: "https://idp.test/a|b", Audience: []string{"us"}}},
		"an escaped":  {{URL: "https://idp.test/a%7cb", Audience: []string{"us"}}},
		"twice":       {{URL: "https://idp.test", Audience: []string{"us"}}, {URL: "https://idp.test", Audience: []string{"them"}}},
	} {
		if _, err := authn.NewUsers(cfg...); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// FuzzUserTokenIsWhole: whatever is changed in a good token, it names the same user or nobody.
func FuzzUserTokenIsWhole(f *testing.F) {
	p := newProvider(f)
	users := newUsers(f, p)
	good := p.token(f, change{})
	f.Add(0, byte('x'), "")
	f.Add(len(good)-1, byte('A'), "")
	f.Add(10, byte('='), "..")
	f.Fuzz(func(t *testing.T, at int, b byte, tail string) {
		raw := []byte(good)
		if at >= 0 && at < len(raw) {
			raw[at] = b
		}
		text := string(raw) + tail
		user, err := users.FromAccessToken(t.Context(), p.URL, text)
		if err == nil && (text != good || user.Subject != "f:1:ada") && !sameSignature(text, good) {
			t.Errorf("%q names %q", text, user.Subject)
		}
	})
}

// sameSignature: an ECDSA signature has a twin, which says the same.
func sameSignature(a, b string) bool {
	return a[:strings.LastIndexByte(a, '.')] == b[:strings.LastIndexByte(b, '.')]
}
