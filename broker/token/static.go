package token

import (
	"context"
	"crypto"
)

// StaticKeys is a KeySource over a JWK set that is at hand, such as in a file, and is what it is: a key
// that was withdrawn since is still in it.
func StaticKeys(jwks []byte) (KeySource, error) {
	keys, err := parseSet(jwks)
	return static(keys), err
}

type static map[string]crypto.PublicKey

func (s static) Key(_ context.Context, kid string) (crypto.PublicKey, error) {
	if key, known := s[kid]; known {
		return key, nil
	}
	return nil, unknownKey()
}
