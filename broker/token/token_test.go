package token_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

func TestWhatIsMintedIsRead(t *testing.T) {
	cert, _ := certificate(t)
	full := claims()
	full.ID, full.NotBefore, full.Scope = "id-1", full.IssuedAt, []string{"read", "write:all"}
	full.Audience = []string{"other", audience}
	full.Act = &token.Actor{Subject: "spiffe://a.test/gateway", Act: &token.Actor{Subject: "alice", Issuer: "https://idp.test"}}
	full.Confirmation = token.Thumbprint(cert)
	for _, alg := range []string{keyring.ES256, keyring.EdDSA} {
		ring, verifier := newRing(t, alg)
		got, err := verifier.Verify(t.Context(), mint(t, ring, full), cert)
		if err != nil || !cmp.Equal(full, got) {
			t.Errorf("%s: %v\n%s", alg, err, cmp.Diff(full, got))
		}
		first, second := mint(t, ring, claims()), mint(t, ring, claims())
		a, err := verifier.Verify(t.Context(), first, nil)
		b, err2 := verifier.Verify(t.Context(), second, nil)
		if err != nil || err2 != nil || len(a.ID) < 22 || a.ID == b.ID {
			t.Errorf("%s: ids %q and %q, %v, %v", alg, a.ID, b.ID, err, err2)
		}
	}
}

// TestWire holds the members' names and forms, since other implementations read them.
func TestWire(t *testing.T) {
	ring, _ := newRing(t, "")
	c := claims()
	c.ID, c.IssuedAt, c.Expiry = "1", time.Now().Truncate(time.Second).Add(900*time.Millisecond), time.Now().Truncate(time.Second).Add(time.Minute+900*time.Millisecond)
	c.Scope, c.Act = []string{"a", "b"}, &token.Actor{Subject: "x"}
	c.Confirmation = strings.Repeat("A", 43)
	parts := strings.Split(mint(t, ring, c), ".")
	var head, body map[string]any
	for i, into := range []*map[string]any{&head, &body} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || len(head) != 3 {
		t.Errorf("header %v", head)
	}
	want := map[string]any{
		"iss": issuer, "sub": orders, "aud": audience, "client_id": orders, "jti": "1", "scope": "a b",
		"iat": float64(c.IssuedAt.Unix()), "exp": float64(c.Expiry.Unix()), // whole seconds, rounded down
		"act": map[string]any{"sub": "x"}, "cnf": map[string]any{"x5t#S256": strings.Repeat("A", 43)},
	}
	if !cmp.Equal(want, body) {
		t.Errorf("payload (-want +got):\n%s", cmp.Diff(want, body))
	}
}

func actors(n int) (a *token.Actor) {
	for range n {
		a = &token.Actor{Subject: "x", Act: a}
	}
	return a
}

func TestMintRefuses(t *testing.T) {
	ring, verifier := newRing(t, "")
	for what, c := range map[string]struct {
		change func(*token.Claims)
		kind   fault.Kind
	}{
		"no issuer":          {func(c *token.Claims) { c.Issuer = "" }, fault.Internal},
		"no subject":         {func(c *token.Claims) { c.Subject = "" }, fault.Internal},
		"no client":          {func(c *token.Claims) { c.ClientID = "" }, fault.Internal},
		"no audience":        {func(c *token.Claims) { c.Audience = nil }, fault.Internal},
		"an empty audience":  {func(c *token.Claims) { c.Audience = []string{"a", ""} }, fault.Internal},
		"no issue date":      {func(c *token.Claims) { c.IssuedAt = time.Time{} }, fault.Internal},
		"no expiry":          {func(c *token.Claims) { c.Expiry = time.Time{} }, fault.Internal},
		"no life":            {func(c *token.Claims) { c.Expiry = c.IssuedAt }, fault.Internal},
		"too long a life":    {func(c *token.Claims) { c.Expiry = c.Expiry.Add(time.Nanosecond) }, fault.Internal},
		"no thumbprint":      {func(c *token.Claims) { c.Confirmation = "abc" }, fault.Internal},
		"too many actors":    {func(c *token.Claims) { c.Act = actors(9) }, fault.InvalidRequest},
		"a nameless actor":   {func(c *token.Claims) { c.Act = &token.Actor{Subject: "x", Act: &token.Actor{}} }, fault.Internal},
		"a scope of two":     {func(c *token.Claims) { c.Scope = []string{"read write"} }, fault.InvalidScope},
		"an empty scope":     {func(c *token.Claims) { c.Scope = []string{""} }, fault.InvalidScope},
		"a quote in a scope": {func(c *token.Claims) { c.Scope = []string{`a"b`} }, fault.InvalidScope},
		"too large":          {func(c *token.Claims) { c.Scope = []string{strings.Repeat("a", token.MaxBytes)} }, fault.TooLarge},
	} {
		bad := claims()
		c.change(&bad)
		if raw, err := token.Mint(t.Context(), ring, bad); !errors.Is(err, c.kind) || !raw.IsZero() {
			t.Errorf("%s: %v", what, err)
		}
	}
	good := claims()
	good.Act = actors(8)
	if _, err := verifier.Verify(t.Context(), mint(t, ring, good), nil); err != nil {
		t.Errorf("eight actors: %v", err)
	}
}

func TestMintPassesTheSignersFailureOn(t *testing.T) {
	away := fault.New(fault.Unavailable, "KEYS", "no key")
	if _, err := token.Mint(t.Context(), broken{away}, claims()); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}

type broken struct{ err error }

func (b broken) Sign(context.Context, string, any) (secret.Value, error) {
	return secret.Value{}, b.err
}

func BenchmarkMint(b *testing.B) {
	for _, alg := range []string{keyring.ES256, keyring.EdDSA} {
		b.Run(alg, func(b *testing.B) {
			ring, _ := newRing(b, alg)
			c := claims()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := token.Mint(b.Context(), ring, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{keyring.ES256, keyring.EdDSA} {
		b.Run(alg, func(b *testing.B) {
			ring, verifier := newRing(b, alg)
			raw := mint(b, ring, claims())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verifier.Verify(b.Context(), raw, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
