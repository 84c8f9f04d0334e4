// Package dpop proves possession of a key with each request that carries a token (RFC 9449): a token that is bound to
// a key is of no use to who has the token alone.
//
// [Key.Proof] makes a proof and [Check] verifies one. What a proof is for (the method, the address without its query,
// the token, the server's nonce) is in it, so that it fits no other request; that it is used once is the server's to
// see, by its jti.
package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/secret"
)

// Algorithm is the one that keys of ours sign with.
const Algorithm = "ES256"

// The names of the header fields (sections 4.1 and 8.1).
const (
	Header      = "DPoP"
	HeaderNonce = "DPoP-Nonce"
)

// typ tells a proof from every other JWT (section 4.2).
const typ = "dpop+jwt"

// Key is a key pair. The zero Key is none.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes one.
func NewKey() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return Key{private}, err
}

// ParseKey reads what [Key.Secret] returned; nothing is no key.
func ParseKey(stored secret.Value) (Key, error) {
	if stored.IsZero() {
		return Key{}, nil
	}
	private, err := x509.ParseECPrivateKey(stored.Reveal())
	if err != nil || private.Curve != elliptic.P256() {
		return Key{}, Error("dpop: not a key of ours")
	}
	return Key{private}, nil
}

// Secret returns the key as it is kept.
func (k Key) Secret() (secret.Value, error) {
	if k.IsZero() {
		return secret.Value{}, nil
	}
	der, err := x509.MarshalECPrivateKey(k.private)
	return secret.New(der), err
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.private == nil }

// Thumbprint is what tokens that are bound to the key have as cnf.jkt (section 6.1, RFC 7638).
func (k Key) Thumbprint() string { return thumbprint(jose.JSONWebKey{Key: &k.private.PublicKey}) }

func thumbprint(jwk jose.JSONWebKey) string {
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Use is what a proof is for.
type Use struct {
	// Method and URL are the request's; the URL's query and fragment are left out.
	Method, URL string
	// Token is the access token that goes with the request; empty at the token endpoint.
	Token string
	// Nonce is the server's; empty where it gave none.
	Nonce string
	// Now is the time of the request.
	Now time.Time
}

// htu is the address as it stands in the proof (section 4.2).
func (u Use) htu() (string, error) {
	to, err := url.Parse(u.URL)
	if err != nil || to.Host == "" {
		return "", Error("dpop: not an address")
	}
	to.RawQuery, to.ForceQuery, to.Fragment, to.User = "", false, "", nil
	return to.String(), nil
}

// ath binds the proof to the token (section 4.2).
func (u Use) ath() string {
	sum := sha256.Sum256([]byte(u.Token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Proof returns the value of the [Header]. No two are alike.
func (k Key) Proof(u Use) (string, error) {
	htu, err := u.htu()
	if err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"jti": rand.Text(), "htm": u.Method, "htu": htu, "iat": u.Now.Unix()}
	if u.Token != "" {
		claims["ath"] = u.ath()
	}
	if u.Nonce != "" {
		claims["nonce"] = u.Nonce
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"], t.Header["jwk"] = typ, jose.JSONWebKey{Key: &k.private.PublicKey}
	proof, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("dpop: %w", err)
	}
	return proof, nil
}

// Error is an error that is compared by its text.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }
