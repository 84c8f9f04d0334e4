package keyring_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/keyring"
)

// TestForeignEntries: keys that are not of our making, or under another's name, are not served, and not
// removed either.
func TestForeignEntries(t *testing.T) {
	var store listed
	for name, key := range map[string]func() (crypto.PublicKey, error){
		"P-384": func() (crypto.PublicKey, error) {
			k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			return &k.PublicKey, err
		},
		"RSA": func() (crypto.PublicKey, error) {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			return &k.PublicKey, err
		},
		"borrowed kid": func() (crypto.PublicKey, error) {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			return &k.PublicKey, err
		},
	} {
		public, err := key()
		if err != nil {
			t.Fatal(err)
		}
		jwk := jose.JSONWebKey{Key: public}
		print, err := jwk.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		data, err := jwk.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		entry := keyring.PublicKey{ID: base64.RawURLEncoding.EncodeToString(print), JWK: data, Until: time.Now().Add(time.Hour)}
		if name == "borrowed kid" {
			entry.ID = "kid-of-another-replica"
		}
		store = append(store, entry)
	}
	store = append(store, keyring.PublicKey{}) // past its time, and none of ours
	reg := prometheus.NewRegistry()
	r := open(t, keyring.Config{Publisher: removeNothing{store, t}, Metrics: keyring.NewMetrics(reg)})
	if got := kids(t, r); len(got) != 1 {
		t.Errorf("served: %q", got)
	}
}

type removeNothing struct {
	listed
	t *testing.T
}

func (r removeNothing) Remove(_ context.Context, id string) error {
	r.t.Errorf("removed %q", id)
	return nil
}

// FuzzForeignEntries: whatever stands in the shared store, the set stays whole and holds our own key, and
// nothing in it is private, or under a kid that is not its own.
func FuzzForeignEntries(f *testing.F) {
	good := open(&testing.T{}, keyring.Config{})
	set, _ := good.JWKS()
	var jwks struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(set, &jwks); err != nil {
		f.Fatal(err)
	}
	for _, jwk := range []string{
		string(jwks.Keys[0]), "", "null", "{}", `{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
		`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
	} {
		f.Add("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", []byte(jwk), int64(4102444800), "replica")
		f.Add("../../kid\x00\"", []byte(jwk), int64(-1), "\xff")
	}
	f.Fuzz(func(t *testing.T, kid string, jwk []byte, until int64, replica string) {
		store := listed{{ID: kid, JWK: jwk, Until: time.Unix(until, 0), Replica: replica}}
		r := open(t, keyring.Config{Publisher: store, Algorithm: keyring.EdDSA})
		_, own := sign(t, r)
		if !serves(t, r, own) {
			t.Error("our own key is not served")
		}
	})
}

// listed is a store that somebody else wrote.
type listed []keyring.PublicKey

func (listed) Publish(context.Context, keyring.PublicKey) error    { return nil }
func (l listed) Keys(context.Context) ([]keyring.PublicKey, error) { return l, nil }
func (listed) Remove(context.Context, string) error                { return nil }

// FuzzDecodePublicKey: what decodes encodes, and decodes as the same again.
func FuzzDecodePublicKey(f *testing.F) {
	f.Add(keyring.PublicKey{ID: "a", JWK: []byte("{}"), Until: time.Unix(1, 0), Replica: "r"}.Encode())
	f.Add([]byte("null"))
	f.Add([]byte(`{"until":"9999-12-31T23:59:60Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := keyring.DecodePublicKey(data)
		if err != nil {
			return
		}
		again, err := keyring.DecodePublicKey(k.Encode())
		if err != nil || again.ID != k.ID || string(again.JWK) != string(k.JWK) || !again.Until.Equal(k.Until) {
			t.Errorf("%+v became %+v, %v", k, again, err)
		}
	})
}

// TestChangedEntryIsCheckedAgain: an entry that was good comes back with another key under its kid.
func TestChangedEntryIsCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		a, _ := start(t, keyring.Config{Publisher: store})
		b, kill := start(t, keyring.Config{Publisher: store})
		_, kid := sign(t, b)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if !serves(t, a, kid) {
			t.Fatal("the replica is not known")
		}
		kill()
		if err := store.Publish(t.Context(), keyring.PublicKey{ID: kid, JWK: []byte("{}"), Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if serves(t, a, kid) {
			t.Error("an entry was served unseen")
		}
	})
}
