package token_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

func wantReason(t *testing.T, what string, err error, reason string) {
	t.Helper()
	if !errors.Is(err, fault.Unauthenticated) || fault.From(err).Reason != reason {
		t.Errorf("%s: %v (%s), want %s", what, err, fault.From(err).Reason, reason)
	}
}

// TestClaimsRefused changes one member of a good payload at a time.
func TestClaimsRefused(t *testing.T) {
	f, v := newForger(t)
	now := time.Now().Unix()
	deep := any(nil)
	for range 9 {
		deep = map[string]any{"sub": "x", "act": deep}
	}
	for what, p := range map[string]jwt.Claims{
		"another issuer": with("iss", "https://intercom.test/"), "no issuer": with("iss", nil), "issuer as list": with("iss", []string{issuer}),
		"another audience": with("aud", "inventory2"), "no audience": with("aud", nil), "audiences of others": with("aud", []string{"a", "b"}),
		"audience in another case": with("aud", "Inventory"), "audience as number": with("aud", 1),
		"no exp": with("exp", nil), "exp as text": with("exp", "2999-01-01"), "exp null": with("exp", json.RawMessage("null")),
		"no iat": with("iat", nil), "iat ahead": with("iat", now+40), "nbf ahead": with("nbf", now+40),
		"no sub": with("sub", nil), "no client_id": with("client_id", nil), "no jti": with("jti", nil), "empty sub": with("sub", ""),
		"cnf of another sort":   with("cnf", map[string]string{"jkt": strings.Repeat("A", 43)}),
		"cnf with more":         with("cnf", map[string]string{"x5t#S256": strings.Repeat("A", 43), "jkt": "x"}),
		"cnf empty":             with("cnf", map[string]string{}),
		"cnf null":              with("cnf", json.RawMessage("null")),
		"cnf with an empty one": with("cnf", map[string]string{"x5t#S256": ""}),
		"cnf as text":           with("cnf", strings.Repeat("A", 43)),
		"too many actors":       with("act", deep), "a nameless actor": with("act", map[string]any{"iss": "x"}),
	} {
		_, err := v.Verify(t.Context(), f.sign(t, p, nil), nil)
		wantReason(t, what, err, token.ReasonInvalid)
	}
	for what, p := range map[string]jwt.Claims{
		"as it is": payload(), "exp within the leeway": with("exp", now-20), "iat within the leeway": with("iat", now+20),
		"one of the audiences": with("aud", []string{"a", audience}), "a member that is not known": with("auth_time", now),
		"act null": with("act", json.RawMessage("null")),
	} {
		if _, err := v.Verify(t.Context(), f.sign(t, p, nil), nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := v.Verify(t.Context(), f.sign(t, with("exp", now-40), nil), nil)
	wantReason(t, "expired", err, token.ReasonExpired)
	v.Leeway = time.Hour
	if _, err := v.Verify(t.Context(), f.sign(t, with("exp", now-3000), nil), nil); err != nil {
		t.Errorf("expired within another leeway: %v", err)
	}
	v.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err = v.Verify(t.Context(), f.sign(t, payload(), nil), nil)
	wantReason(t, "expired by another clock", err, token.ReasonExpired)
}

func TestHeadersRefused(t *testing.T) {
	f, v := newForger(t)
	for what, header := range map[string]map[string]any{
		"typ of an ID token": {"typ": "JWT"}, "no typ": {"typ": nil}, "typ in another case": {"typ": "AT+JWT"}, "typ as list": {"typ": []string{token.Type}},
		"typ of a logout token": {"typ": "logout+jwt"}, "crit": {"crit": []string{"b64"}}, "empty crit": {"crit": []string{}},
		"no kid": {"kid": nil}, "unknown kid": {"kid": "other"}, "kid as number": {"kid": 1}, "long kid": {"kid": strings.Repeat("k", 300)},
		"key of the other algorithm": {"kid": "ed"},
	} {
		_, err := v.Verify(t.Context(), f.sign(t, payload(), header), nil)
		wantReason(t, what, err, token.ReasonInvalid)
	}
	for what, header := range map[string]map[string]any{"as it is": {}, "typ as media type": {"typ": "application/at+jwt"}} {
		if _, err := v.Verify(t.Context(), f.sign(t, payload(), header), nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAlgorithmsRefused tries what an attacker tries who has the public key, or another.
func TestAlgorithmsRefused(t *testing.T) {
	f, v := newForger(t)
	der, err := x509.MarshalPKIXPublicKey(&f.ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f.alg["mac"], f.alg["p384"] = []byte("secret"), &p384.PublicKey
	good := f.sign(t, payload(), nil)
	body := good[:strings.LastIndexByte(good, '.')]
	for what, raw := range map[string]string{
		"none":                       f.signWith(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, payload(), nil),
		"none, said otherwise":       f.signWith(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, payload(), map[string]any{"alg": "NONE"}),
		"the public key as secret":   f.signWith(t, jwt.SigningMethodHS256, der, payload(), nil),
		"a secret among the keys":    f.signWith(t, jwt.SigningMethodHS256, []byte("secret"), payload(), map[string]any{"kid": "mac"}),
		"ES384 with its own key":     f.signWith(t, jwt.SigningMethodES384, p384, payload(), map[string]any{"kid": "p384"}),
		"ES256 said of a P-384 key":  f.signWith(t, jwt.SigningMethodES384, p384, payload(), map[string]any{"kid": "p384", "alg": "ES256"}),
		"another key of the sort":    f.signWith(t, jwt.SigningMethodES256, other, payload(), nil),
		"EdDSA said of an EC key":    f.signWith(t, jwt.SigningMethodEdDSA, f.ed, payload(), nil),
		"no signature":               body + ".",
		"no signature and no dot":    body,
		"a signature of zeros":       body + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"padding":                    good + "=",
		"a fourth part":              good + ".x",
		"a line break":               good + "\n",
		"a line break in the middle": good[:len(good)-3] + "\r\n" + good[len(good)-3:],
		"a blank":                    " " + good,
		"nothing":                    "",
		"only dots":                  "..",
		"no base64":                  "a!.b!.c!",
		"longer than a token may be": good + strings.Repeat("A", token.MaxBytes),
	} {
		_, err := v.Verify(t.Context(), raw, nil)
		wantReason(t, what, err, token.ReasonInvalid)
	}
	if _, err := v.Verify(t.Context(), f.signWith(t, jwt.SigningMethodEdDSA, f.ed, payload(), map[string]any{"kid": "ed"}), nil); err != nil {
		t.Errorf("EdDSA: %v", err)
	}
}

// TestSignedNonsense has a good signature over what is no payload; `null` takes golang-jwt's pointer away.
func TestSignedNonsense(t *testing.T) {
	f, v := newForger(t)
	good := f.sign(t, payload(), nil)
	for _, text := range []string{"null", "[]", "1", `"x"`, "", "{", "{}", "\xff"} {
		input := good[:strings.IndexByte(good, '.')+1] + base64.RawURLEncoding.EncodeToString([]byte(text))
		signature, err := jwt.SigningMethodES256.Sign(input, f.ec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), input+"."+base64.RawURLEncoding.EncodeToString(signature), nil)
		wantReason(t, text, err, token.ReasonInvalid)
	}
}

// TestLargeTokensRefused has good signatures over too much.
func TestLargeTokensRefused(t *testing.T) {
	f, v := newForger(t)
	kid := strings.Repeat("k", 257)
	f.alg[kid] = &f.ec.PublicKey
	_, err := v.Verify(t.Context(), f.sign(t, payload(), map[string]any{"kid": kid}), nil)
	wantReason(t, "a long kid", err, token.ReasonInvalid)
	_, err = v.Verify(t.Context(), f.sign(t, with("more", strings.Repeat("x", token.MaxBytes)), nil), nil)
	wantReason(t, "a long payload", err, token.ReasonInvalid)
}

// TestOneFormOfASignature: the last character of a signature has four bits that mean nothing, and
// must be zero (RFC 4648, section 3.5).
func TestOneFormOfASignature(t *testing.T) {
	f, v := newForger(t)
	good := f.signWith(t, jwt.SigningMethodEdDSA, f.ed, payload(), map[string]any{"kid": "ed"})
	for last := range strings.SplitSeq("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "") {
		raw := good[:len(good)-1] + last
		if _, err := v.Verify(t.Context(), raw, nil); (err == nil) != (raw == good) {
			t.Errorf("ending in %s instead of %s: %v", last, good[len(good)-1:], err)
		}
	}
}

func TestBoundTokens(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	mine, _ := certificate(t)
	other, _ := certificate(t)
	c := claims()
	c.Confirmation = token.Thumbprint(mine)
	bound, free := mint(t, ring, c), mint(t, ring, claims())
	for what, peer := range map[string]*x509.Certificate{"no certificate": nil, "another certificate": other} {
		_, err := v.Verify(t.Context(), bound, peer)
		wantReason(t, what, err, token.ReasonBound)
		if _, err := v.Verify(t.Context(), free, peer); err != nil {
			t.Errorf("a token that is not bound, %s: %v", what, err)
		}
	}
	if _, err := v.Verify(t.Context(), bound, mine); err != nil {
		t.Errorf("its own certificate: %v", err)
	}
	if got, err := v.VerifyWithoutPossession(t.Context(), bound); err != nil || got.Confirmation != c.Confirmation {
		t.Errorf("without possession: %q, %v", got.Confirmation, err)
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	raw := mint(t, ring, claims())
	for what, v := range map[string]token.Verifier{
		"zero": {}, "no issuer": {Audience: audience, Keys: v.Keys}, "no audience": {Issuer: issuer, Keys: v.Keys},
		"no keys": {Issuer: issuer, Audience: audience},
	} {
		if _, err := v.Verify(t.Context(), raw, nil); !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestKeysAway: that keys cannot be had says nothing of the token, and must not read as if it did.
func TestKeysAway(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	v.Keys = away{}
	if _, err := v.Verify(t.Context(), mint(t, ring, claims()), nil); !errors.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

type away struct{}

func (away) Key(context.Context, string) (crypto.PublicKey, error) {
	return nil, fault.New(fault.Unavailable, "KEYS_UNAVAILABLE", "not now")
}

// FuzzVerifyRefusesChange: whatever passes says what was minted, in the very bytes that were signed, and
// nothing panics. The signature itself may differ: ES256 has two for everything.
func FuzzVerifyRefusesChange(f *testing.F) {
	forge, v := newForger(f)
	good := forge.sign(f, payload(), nil)
	eddsa := forge.signWith(f, jwt.SigningMethodEdDSA, forge.ed, payload(), map[string]any{"kid": "ed"})
	want, err := v.Verify(f.Context(), good, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, raw := range []string{good, eddsa} {
		f.Add(0, 0, []byte(raw))
		f.Add(10, 4, []byte("AAAA"))
		f.Add(len(raw)-5, 5, []byte("AAAAA"))
		f.Add(len(raw), 0, []byte("."))
	}
	f.Add(0, 0, []byte("eyJhbGciOiJub25lIn0.e30."))
	f.Fuzz(func(t *testing.T, at, cut int, put []byte) {
		for _, raw := range []string{good, eddsa} {
			changed := splice(raw, at, cut, put)
			got, err := v.Verify(t.Context(), changed, nil)
			if err != nil {
				continue
			}
			signed := raw[:strings.LastIndexByte(raw, '.')]
			if raw == eddsa && changed != raw || len(changed) != len(raw) || !strings.HasPrefix(changed, signed+".") || !cmp.Equal(got, want) {
				t.Errorf("accepted %q in the place of %q", changed, raw)
			}
		}
		_, _ = v.Verify(t.Context(), string(put), nil)
	})
}

// splice returns s with cut bytes at a place replaced by put.
func splice(s string, at, cut int, put []byte) string {
	at = min(max(at, 0), len(s))
	end := min(at+max(cut, 0), len(s))
	if end < at {
		end = len(s)
	}
	return string(bytes.Join([][]byte{[]byte(s[:at]), put, []byte(s[end:])}, nil))
}
