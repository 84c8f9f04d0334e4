package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

// userClaims are those of a token for a user, minted by orders.
func userClaims(u token.User) token.Claims {
	return token.Claims{
		Issuer: "https://broker.test", Subject: u.Name(), User: &u, Groups: []string{"staff"}, ClientID: "spiffe://a.test/orders",
		Audience: []string{"ledger"}, IssuedAt: time.Now(), Expiry: time.Now().Add(time.Minute),
	}
}

func TestATokenNamesItsUser(t *testing.T) {
	ring, _ := newRing(t, keyring.ES256)
	for _, sub := range []string{"ada", "f:1:a|b c/d%7C", "ä"} {
		u := token.User{Issuer: "https://idp.test/realms/a", Subject: sub}
		raw, err := token.Mint(t.Context(), ring, userClaims(u))
		if err != nil {
			t.Fatal(err)
		}
		v := token.Verifier{Issuer: "https://broker.test", Audience: "ledger", Keys: token.LocalKeys(ring.Lookup)}
		c, err := v.Verify(t.Context(), string(raw.Reveal()), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&u, c.User); diff != "" || c.Groups[0] != "staff" || strings.Contains(c.Subject, "|") {
			t.Errorf("%q: %+v\n%s", sub, c, diff)
		}
	}
}

// TestNamesOfUsersAreApart: no two users of any two issuers have one name.
func TestNamesOfUsersAreApart(t *testing.T) {
	seen := map[string]token.User{}
	for _, iss := range []string{"https://a.test", "https://a.test/b"} {
		for _, sub := range []string{"x", "b|x", "b%7Cx", "/b|x"} {
			u := token.User{Issuer: iss, Subject: sub}
			if other, taken := seen[u.Name()]; taken {
				t.Errorf("%+v and %+v are both %s", u, other, u.Name())
			}
			seen[u.Name()] = u
		}
	}
}

// TestSubAndSubIDSayTheSame, or the token is neither minted nor read.
func TestSubAndSubIDSayTheSame(t *testing.T) {
	ring, _ := newRing(t, keyring.ES256)
	c := userClaims(token.User{Issuer: "https://idp.test", Subject: "ada"})
	c.Subject = "spiffe://a.test/admin"
	if _, err := token.Mint(t.Context(), ring, c); err == nil {
		t.Error("minted")
	}
	// Its issuer ends where no issuer may: the name could be another one's.
	if _, err := token.Mint(t.Context(), ring, userClaims(token.User{Issuer: "https://idp.test%7Cx", Subject: "ada"})); err == nil {
		t.Error("minted for an issuer with a bar")
	}
	for name, id := range map[string]any{
		"another user":   map[string]any{"format": "iss_sub", "iss": "https://idp.test", "sub": "bob"},
		"another format": map[string]any{"format": "email", "email": "ada@idp.test"},
		"half":           map[string]any{"format": "iss_sub", "sub": "ada"},
	} {
		raw, err := ring.Sign(t.Context(), token.Type, map[string]any{
			"iss": c.Issuer, "sub": "user:https://idp.test%7Cada", "sub_id": id, "client_id": "x", "aud": "ledger", "jti": "1",
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		})
		if err != nil {
			t.Fatal(err)
		}
		v := token.Verifier{Issuer: c.Issuer, Audience: "ledger", Keys: token.LocalKeys(ring.Lookup)}
		if got, err := v.Verify(t.Context(), string(raw.Reveal()), nil); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}
