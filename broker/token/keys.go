package token

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/fault"
)

// LocalKeys is a KeySource over the Lookup of a keyring.Ring in the same process.
func LocalKeys(lookup func(kid string) (key crypto.PublicKey, alg string, ok bool)) KeySource {
	return local(lookup)
}

type local func(string) (crypto.PublicKey, string, bool)

func (l local) Key(_ context.Context, kid string) (crypto.PublicKey, error) {
	if key, _, ok := l(kid); ok {
		return key, nil
	}
	return nil, unknownKey()
}

func unknownKey() *fault.Error {
	return fault.New(fault.NotFound, "KEY_UNKNOWN", "the key is not known")
}

// parseSet returns the keys of a JWK set that our tokens can be signed with. Others are passed over, as
// RFC 7517, section 5, asks for: an issuer may add what we do not understand. A set without any
// usable key is an error, since we need one.
func parseSet(data []byte) (map[string]crypto.PublicKey, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
	}
	keys := map[string]crypto.PublicKey{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := json.Unmarshal(raw, &k); err != nil || k.KeyID == "" || k.Use != "" && k.Use != "sig" {
			continue
		}
		alg := algorithm(k.Key)
		if _, taken := keys[k.KeyID]; taken || alg == "" || k.Algorithm != "" && k.Algorithm != alg {
			continue
		}
		keys[k.KeyID] = k.Key
	}
	if len(keys) == 0 {
		return nil, errors.New("no key of the JWK set is for ES256 or EdDSA")
	}
	return keys, nil
}
