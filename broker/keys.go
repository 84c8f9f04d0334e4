package broker

import (
	"context"
	"errors"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/secret"
)

// keysPrefix is where replicas tell each other their public keys. They are no secrets, but the store is
// what all replicas share.
const keysPrefix = credential.Name("intercom/keys")

const keyField = "public"

// sharedKeys is the [keyring.Publisher] over the credential store.
type sharedKeys struct{ store credential.Store }

func keyName(id string) credential.Name { return keysPrefix + credential.Name("/"+keyring.Slug(id)) }

// Publish implements [keyring.Publisher].
func (s sharedKeys) Publish(ctx context.Context, k keyring.PublicKey) error {
	_, err := s.store.Write(ctx, keyName(k.ID), credential.Fields{keyField: secret.New(k.Encode())})
	return err
}

// Keys implements [keyring.Publisher]. A key that cannot be read as one is left out: one bad entry must
// not take the keys of all replicas out of the JWKS.
func (s sharedKeys) Keys(ctx context.Context) ([]keyring.PublicKey, error) {
	names, err := s.store.List(ctx, keysPrefix)
	if err != nil {
		return nil, err
	}
	keys := make([]keyring.PublicKey, 0, len(names))
	for _, name := range names {
		c, err := s.store.Read(ctx, name)
		if errors.Is(err, fault.NotFound) { // removed by its replica since the list was made
			continue
		}
		if err != nil {
			return nil, err
		}
		if k, err := keyring.DecodePublicKey(c.Fields[keyField].Reveal()); err == nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// Remove implements [keyring.Publisher].
func (s sharedKeys) Remove(ctx context.Context, id string) error {
	return s.store.Delete(ctx, keyName(id))
}
