package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// The algorithms that we sign with (RFC 7518, section 3.4; RFC 8037, section 3.1).
const (
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// signatureBytes is the length of a signature of either.
const signatureBytes = 64

// PublicKey is the public half of a signing key, as replicas tell each other.
type PublicKey struct {
	// ID is the kid: the RFC 7638 thumbprint of the key.
	ID string `json:"kid"`
	// JWK is the key as a JSON Web Key (RFC 7517).
	JWK []byte `json:"jwk"`
	// Until is when the last token that it signed is dead.
	Until time.Time `json:"until"`
	// Replica is who signs with it; for people, nothing depends on it.
	Replica string `json:"replica,omitempty"`
}

// maxEntry bounds what is read of one key: ours take some 400 bytes.
const maxEntry = 4 << 10

// Encode returns k as JSON, for one field of a store. [DecodePublicKey] reads it.
func (k PublicKey) Encode() []byte {
	data, err := json.Marshal(k)
	if err != nil {
		panic("keyring: internal error: a public key does not encode: " + err.Error()) // a year beyond 9999
	}
	return data
}

// DecodePublicKey reads what Encode wrote. It says nothing of the key itself: the Ring checks that.
func DecodePublicKey(data []byte) (PublicKey, error) {
	if len(data) > maxEntry {
		return PublicKey{}, fmt.Errorf("keyring: an entry of %d bytes is no public key", len(data))
	}
	var k PublicKey
	if err := json.Unmarshal(data, &k); err != nil {
		return PublicKey{}, fmt.Errorf("keyring: %w", err)
	}
	return k, nil
}

// Slug returns the name under which a store with narrow names keeps a key, 32 characters of 0-9 a-f: kids
// differ in case, the names of credentials do not.
func Slug(kid string) string {
	sum := sha256.Sum256([]byte(kid))
	return hex.EncodeToString(sum[:16])
}

// verifyingKey is a public key that was checked.
type verifyingKey struct {
	id  string
	alg string
	key crypto.PublicKey
	jwk json.RawMessage // as we write it, whatever its source wrote beside
}

// newVerifyingKey takes the two sorts of keys that we make, and nothing else.
func newVerifyingKey(key crypto.PublicKey) (verifyingKey, error) {
	v := verifyingKey{key: key}
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if v.alg = ES256; key.Curve != elliptic.P256() {
			return v, errors.New("its curve is not P-256")
		}
	case ed25519.PublicKey:
		v.alg = EdDSA
	default:
		return v, fmt.Errorf("a %T does not sign here", key)
	}
	jwk := jose.JSONWebKey{Key: key, Algorithm: v.alg, Use: "sig"}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return v, err
	}
	v.id = base64.RawURLEncoding.EncodeToString(print)
	jwk.KeyID = v.id
	v.jwk, err = jwk.MarshalJSON()
	return v, err
}

// parse checks a key that comes from the store. Its kid must be its thumbprint, so that no entry can stand
// in the place of another replica's key.
func parse(k PublicKey) (verifyingKey, error) {
	if len(k.JWK) > maxEntry {
		return verifyingKey{}, fmt.Errorf("its JWK has %d bytes", len(k.JWK))
	}
	var jwk jose.JSONWebKey
	if err := json.NewDecoder(bytes.NewReader(k.JWK)).Decode(&jwk); err != nil {
		return verifyingKey{}, err
	}
	v, err := newVerifyingKey(jwk.Key)
	if err == nil && v.id != k.ID {
		err = errors.New("its kid is not its thumbprint")
	}
	return v, err
}

// signingKey is a key pair of ours. The private half is in a closure, where neither fmt nor an encoder
// reaches it.
type signingKey struct {
	verifyingKey
	sign   func(input string) ([]byte, error)
	since  time.Time // when it began to sign
	until  time.Time // what the store is to have as its end
	told   time.Time // what the store has as its end
	toldAt time.Time // when it was told so
	known  time.Time // since when the store has the key; zero: it has not
}

func (r *Ring) generate() (*signingKey, error) {
	now := r.cfg.Now()
	k := &signingKey{since: now, until: r.horizon(now)}
	public, err := k.generate(r.cfg.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if k.verifyingKey, err = newVerifyingKey(public); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return k, nil
}

func (k *signingKey) generate(algorithm string) (crypto.PublicKey, error) {
	switch algorithm {
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		k.sign = func(input string) ([]byte, error) { return jwt.SigningMethodES256.Sign(input, key) }
		return &key.PublicKey, nil
	case EdDSA:
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		k.sign = func(input string) ([]byte, error) { return jwt.SigningMethodEdDSA.Sign(input, key) }
		return public, nil
	default:
		return nil, fmt.Errorf("algorithm %q: want ES256 or EdDSA", algorithm)
	}
}

func (k *signingKey) public(replica string) PublicKey {
	return PublicKey{ID: k.id, JWK: k.jwk, Until: k.until, Replica: replica}
}
