package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// assertionLife is short: an assertion is used at once.
	assertionLife = time.Minute
	// publishAhead is how long a new key is only published, while the one before it signs. Keycloak fetches keys at
	// most every 10 s and refuses a kid that it does not know until then; oidc-provider looks once a minute.
	publishAhead = 5 * time.Minute
)

// Assertions signs client assertions (private_key_jwt; OpenID Connect Core 1.0, section 9) with a key that is
// made here and never leaves. Its public half must be where the provider looks before the first use: hand
// [Assertions.Public] of every replica to what serves the client's jwks_uri.
type Assertions struct {
	now func() time.Time

	mu   sync.Mutex
	keys []assertionKey // the newest first
}

type assertionKey struct {
	kid     string
	private *ecdsa.PrivateKey
	from    time.Time // signs from here on
}

// NewAssertions returns Assertions with one key, which signs after the given time; a first key may sign at
// once, as a provider that has none of ours fetches them. A nil now means time.Now.
func NewAssertions(after time.Duration, now func() time.Time) (*Assertions, error) {
	if now == nil {
		now = time.Now
	}
	a := &Assertions{now: now}
	return a, a.add(after)
}

func (a *Assertions) add(after time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("provider: making a client key: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys = append([]assertionKey{{kid: rand.Text(), private: key, from: a.now().Add(after)}}, a.keys...)
	return nil
}

// Rotate makes a new key. It is published from now on and signs 5 min later; the one before it stays
// published until what it signed has ended.
func (a *Assertions) Rotate() error { return a.add(publishAhead) }

// Public returns the public keys to publish: the one that signs, those that will, and those whose last
// assertions may still be under way.
func (a *Assertions) Public() jose.JSONWebKeySet {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trim()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range a.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.private.PublicKey, KeyID: k.kid, Algorithm: "ES256", Use: "sig"})
	}
	return set
}

// trim drops what a newer key has replaced for longer than an assertion lives.
func (a *Assertions) trim() {
	now := a.now()
	for i, k := range a.keys {
		if now.After(k.from.Add(assertionLife + skew)) {
			a.keys = slices.Clone(a.keys[:i+1])
			return
		}
	}
}

// sign returns an assertion that is good once (RFC 7523, section 3).
func (a *Assertions) sign(client, audience string, announced []string) (string, error) {
	if len(announced) > 0 && !slices.Contains(announced, "ES256") {
		return "", fmt.Errorf("the provider takes assertions signed with %q, and not with ES256", announced)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for _, k := range a.keys {
		if now.Before(k.from) {
			continue
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": client, "sub": client, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
		})
		token.Header["kid"] = k.kid
		return token.SignedString(k.private)
	}
	return "", errors.New("the client key is not published long enough")
}
