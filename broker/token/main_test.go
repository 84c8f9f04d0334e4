package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"maps"
	"math/big"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

const (
	issuer   = "https://intercom.test"
	audience = "inventory"
	orders   = "spiffe://a.test/orders"
)

// newRing is a keyring, and a Verifier that knows its keys.
func newRing(t testing.TB, alg string) (*keyring.Ring, *token.Verifier) {
	t.Helper()
	r, err := keyring.Open(t.Context(), keyring.Config{Algorithm: alg})
	if err != nil {
		t.Fatal(err)
	}
	return r, &token.Verifier{Issuer: issuer, Audience: audience, Keys: token.LocalKeys(r.Lookup)}
}

func claims() token.Claims {
	now := time.Now().Truncate(time.Second)
	return token.Claims{
		Issuer: issuer, Subject: orders, Audience: []string{audience}, ClientID: orders,
		IssuedAt: now, Expiry: now.Add(token.MaxLife),
	}
}

func mint(t testing.TB, s token.Signer, c token.Claims) string {
	t.Helper()
	raw, err := token.Mint(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw.Reveal())
}

// forger signs whatever a test wants, with keys that the Verifier knows.
type forger struct {
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
	alg map[string]crypto.PublicKey
}

func newForger(t testing.TB) (*forger, *token.Verifier) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{ec: ec, ed: ed, alg: map[string]crypto.PublicKey{"ec": &ec.PublicKey, "ed": ed.Public()}}
	return f, &token.Verifier{Issuer: issuer, Audience: audience, Keys: token.LocalKeys(f.lookup)}
}

func (f *forger) lookup(kid string) (crypto.PublicKey, string, bool) {
	key, ok := f.alg[kid]
	return key, "", ok
}

// payload is what a good token says, as JSON members.
func payload() jwt.MapClaims {
	now := time.Now().Unix()
	return jwt.MapClaims{
		"iss": issuer, "sub": orders, "aud": audience, "client_id": orders, "iat": now, "exp": now + 300, "jti": "1",
	}
}

// with returns a good payload with one member changed, or dropped when it is nil.
func with(member string, value any) jwt.MapClaims {
	p := payload()
	if p[member] = value; value == nil {
		delete(p, member)
	}
	return p
}

// sign makes a token with an ES256 signature; header changes the JOSE header as with changes the payload.
func (f *forger) sign(t testing.TB, p jwt.Claims, header map[string]any) string {
	t.Helper()
	return f.signWith(t, jwt.SigningMethodES256, f.ec, p, header)
}

func (f *forger) signWith(t testing.TB, m jwt.SigningMethod, key any, p jwt.Claims, header map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(m, p)
	tok.Header["typ"], tok.Header["kid"] = token.Type, "ec"
	maps.Copy(tok.Header, header)
	maps.DeleteFunc(tok.Header, func(_ string, v any) bool { return v == nil })
	raw, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// certificate returns one that nobody signed but itself, with its key.
func certificate(t testing.TB) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "orders"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func mustDecode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
