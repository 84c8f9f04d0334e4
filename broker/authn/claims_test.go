package authn_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
)

// TestAnAccessTokenSaysThatItIsOne: an ID token need not have anything that is its own. Google's for
// service accounts, for one, has neither a nonce nor a hash.
func TestAnAccessTokenSaysThatItIsOne(t *testing.T) {
	p := newProvider(t)
	users := newUsers(t, p)
	for name, c := range map[string]struct {
		change
		ok bool
	}{
		"nothing says so":        {change{claims: jwt.MapClaims{"typ": nil, "scope": nil}}, false},
		"a scope does":           {change{claims: jwt.MapClaims{"typ": nil}}, true},
		"a scope of another way": {change{claims: jwt.MapClaims{"typ": nil, "scope": nil, "scp": []string{"orders.read"}}}, true},
		"Keycloak's claim does":  {change{claims: jwt.MapClaims{"scope": nil}}, true},
		"its header does":        {change{claims: jwt.MapClaims{"typ": nil, "scope": nil}, header: map[string]any{"typ": "at+jwt"}}, true},
	} {
		_, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, c.change))
		if c.ok && err != nil || !c.ok && !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestScopesAsIssuersWriteThem: RFC 9068 says scope, and some say scp, as a text or a list.
func TestScopesAsIssuersWriteThem(t *testing.T) {
	p := newProvider(t)
	users := newUsers(t, p)
	for name, claims := range map[string]jwt.MapClaims{
		"scope":       {"scope": "a b", "scp": "c"},
		"scp, a text": {"scope": nil, "scp": "a b"},
		"scp, a list": {"scope": nil, "scp": []string{"a", "b"}},
	} {
		got, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{claims: claims}))
		if err != nil || !slices.Equal(got.Scopes, []string{"a", "b"}) {
			t.Errorf("%s: %q, %v", name, got.Scopes, err)
		}
	}
}

// TestGroupsAreReadWholeOrNotAtAll: a rule may deny a group, so one that is passed over lets its member in.
func TestGroupsAreReadWholeOrNotAtAll(t *testing.T) {
	p := newProvider(t)
	users := newUsers(t, p)
	sources := map[string]any{"src1": map[string]any{"endpoint": p.URL + "/claims"}}
	for name, claims := range map[string]jwt.MapClaims{
		"objects":    {"groups": []any{"staff", map[string]any{"name": "suspended"}}},
		"an object":  {"groups": map[string]any{"suspended": true}},
		"a number":   {"groups": []any{1}},
		"no name":    {"groups": []any{""}},
		"elsewhere":  {"groups": nil, "_claim_names": map[string]any{"groups": "src1"}, "_claim_sources": sources},
		"all or any": {"_claim_names": "groups"},
	} {
		if got, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{claims: claims})); !errors.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: in %q, %v", name, got.Groups, err)
		}
	}
	for name, claims := range map[string]jwt.MapClaims{
		"none":                    {"groups": nil},
		"other claims, elsewhere": {"groups": nil, "_claim_names": map[string]any{"address": "src1"}, "_claim_sources": sources},
	} {
		if got, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{claims: claims})); err != nil || got.Groups != nil {
			t.Errorf("%s: in %q, %v", name, got.Groups, err)
		}
	}
	one, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{claims: jwt.MapClaims{"groups": "staff"}}))
	if err != nil || !slices.Equal(one.Groups, []string{"staff"}) {
		t.Errorf("one as a text: %q, %v", one.Groups, err)
	}
}

// TestMomentsThatAreNone are not passed over either.
func TestMomentsThatAreNone(t *testing.T) {
	p := newProvider(t)
	users := newUsers(t, p)
	for _, name := range []string{"exp", "iat", "nbf"} {
		for _, value := range []any{"tomorrow", "1", true, -1, 1e300, []any{}, map[string]any{}} {
			raw := p.token(t, change{claims: jwt.MapClaims{name: value}})
			if got, err := users.FromAccessToken(t.Context(), p.URL, raw); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("%s %v: until %s, %v", name, value, got.NotAfter, err)
			}
		}
	}
}

// FuzzUserIsWhatItsIssuerSays has an issuer sign anything at all: whom we take it for is somebody whom it
// names, for us, with an end, and in every group that it says.
func FuzzUserIsWhatItsIssuerSays(f *testing.F) {
	p := newProvider(f)
	users, err := authn.NewUsers(authn.Issuer{URL: p.URL, Audience: []string{"us"}})
	if err != nil {
		f.Fatal(err)
	}
	const common = `"sub":"ada","aud":"us","exp":4102444800,"scope":"a"`
	for _, members := range []string{
		common, common + `,"groups":["staff"]`, common + `,"groups":[{"name":"staff"}]`, common + `,"nbf":"x"`, common + `,"exp":1e300`, common + `,"aud":["us",1]`,
		common + `,"Sub":"bob"`, common + `,"typ":"ID"`, common + `,"typ":null`, common + `,"_claim_names":{"groups":"s"}`, `"sub":["ada"]`, common + `,"scp":[1]`,
	} {
		f.Add(members, "JWT")
		f.Add(members, "at+jwt")
	}
	f.Fuzz(func(t *testing.T, members, typ string) {
		payload := []byte(`{"iss":"` + p.URL + `",` + members + `}`)
		k := p.key.Load()
		options := (&jose.SignerOptions{}).WithHeader("kid", k.kid).WithType(jose.ContentType(typ))
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.PrivateKey}, options)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		user, err := users.FromAccessToken(t.Context(), p.URL, raw)
		if err != nil {
			if !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("%s: %v", payload, err)
			}
			return
		}
		var said map[string]any
		if json.Unmarshal(payload, &said) != nil || said["sub"] != user.Subject || user.Subject == "" || said["iss"] != user.Issuer {
			t.Errorf("%s: %+v", payload, user)
		}
		end, _ := said["exp"].(float64)
		if user.NotAfter.Unix() != int64(math.Floor(end)) || user.NotAfter.Before(time.Now().Add(-time.Minute)) {
			t.Errorf("%s: until %s", payload, user.NotAfter)
		}
		if listed, ok := said["groups"].([]any); ok && len(listed) != len(user.Groups) {
			t.Errorf("%s: in %q", payload, user.Groups)
		}
	})
}
