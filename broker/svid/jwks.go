package svid

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
)

// PlainJWKS returns the authorities of bundle as a plain JWK set (RFC 7517, section 5), sorted by key id.
// The keys have no `use`: a SPIFFE bundle says `jwt-svid` there, and verifiers that know only RFC 7517,
// Vault among them, then pass over the key.
func PlainJWKS(bundle *jwtbundle.Bundle) ([]byte, error) {
	if err := publicOnly(bundle); err != nil {
		return nil, err
	}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for id, key := range bundle.JWTAuthorities() {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: id, Key: key})
	}
	slices.SortFunc(set.Keys, func(a, b jose.JSONWebKey) int { return cmp.Compare(a.KeyID, b.KeyID) })
	out, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("writing the JWK set of %s: %w", bundle.TrustDomain(), err)
	}
	return out, nil
}

// publicOnly refuses a bundle with a key that is no public one. A JWK may as well hold a private or a
// symmetric key, go-spiffe takes what it finds, and we publish these sets.
func publicOnly(bundle *jwtbundle.Bundle) error {
	for id, key := range bundle.JWTAuthorities() {
		switch key.(type) {
		case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		default:
			return fmt.Errorf("bundle of %s: the JWT authority %q is not a public key", bundle.TrustDomain(), id)
		}
	}
	return nil
}
