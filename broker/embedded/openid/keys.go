package openid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// key is what the provider signs with, or once did.
type key struct {
	kid     string
	method  jwt.SigningMethod
	private crypto.Signer
}

func newKey(algorithm string) (k *key, err error) {
	k = &key{kid: rand.Text(), method: jwt.GetSigningMethod(algorithm)}
	switch algorithm {
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("openid: no keys for %q", algorithm)
	}
	return k, err
}

// RotateKeys signs with a new key from now on. The old ones stay in the JWK set, and verify.
func (p *Provider) RotateKeys() error {
	k, err := newKey(p.cfg.Algorithm)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append([]*key{k}, p.keys...)
	return nil
}

// RetireKeys takes the old keys out of the JWK set: what they signed is worth nothing from now on.
func (p *Provider) RetireKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[:1]
}

// JWKS returns the public keys.
func (p *Provider) JWKS() jose.JSONWebKeySet {
	p.mu.Lock()
	defer p.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: k.method.Alg(), Use: "sig"})
	}
	return set
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, p.JWKS())
}

// Sign signs any claims with the active key. The header is added to the usual one, and may overrule it: a
// test may want to say what the provider never would.
func (p *Provider) Sign(header, claims map[string]any) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signLocked(header, claims)
}

func (p *Provider) signLocked(header, claims map[string]any) (string, error) {
	k := p.keys[0]
	token := jwt.NewWithClaims(k.method, jwt.MapClaims(claims))
	token.Header["kid"] = k.kid
	maps.Copy(token.Header, header)
	return token.SignedString(k.private)
}

// verifyLocked returns the claims of a token that this provider signed, whatever its age.
func (p *Provider) verifyLocked(raw string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "RS256"}), jwt.WithoutClaimsValidation())
	_, err := parser.ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		for _, k := range p.keys {
			if t.Header["kid"] == k.kid && t.Method.Alg() == k.method.Alg() {
				return k.private.Public(), nil
			}
		}
		return nil, errors.New("openid: no such key")
	})
	return claims, err
}
