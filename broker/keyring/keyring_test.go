package keyring_test

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
)

// shared is the store that replicas share. It keeps what Encode makes, as a real one does.
type shared struct {
	mu   sync.Mutex
	err  error
	kept map[string][]byte
}

func newShared() *shared { return &shared{kept: map[string][]byte{}} }

func (s *shared) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shared) Publish(_ context.Context, k keyring.PublicKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.kept[keyring.Slug(k.ID)] = k.Encode()
	}
	return s.err
}

func (s *shared) Keys(context.Context) (keys []keyring.PublicKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, data := range s.kept {
		k, err := keyring.DecodePublicKey(data)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, s.err
}

func (s *shared) Remove(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept, keyring.Slug(id))
	return s.err
}

func (s *shared) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

var errAway = errors.New("the store is away")

func open(t *testing.T, cfg keyring.Config) *keyring.Ring {
	t.Helper()
	r, err := keyring.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start opens a ring and runs it until the returned function is called.
func start(t *testing.T, cfg keyring.Config) (*keyring.Ring, func()) {
	t.Helper()
	r := open(t, cfg)
	ctx, kill := context.WithCancel(t.Context())
	go func() { _ = r.Run(ctx) }()
	return r, kill
}

// sign signs claims that live for five minutes and returns the token and its kid.
func sign(t *testing.T, r *keyring.Ring) (token, kid string) {
	t.Helper()
	value, err := r.Sign(t.Context(), "at+jwt", map[string]any{"sub": "x", "exp": time.Now().Add(5 * time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	token = string(value.Reveal())
	head, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		t.Fatal(err)
	}
	var h map[string]string
	if err := json.Unmarshal(head, &h); err != nil || h["typ"] != "at+jwt" {
		t.Fatalf("header %s, %v", head, err)
	}
	return token, h["kid"]
}

// kids returns the kids of the set that r serves, each checked to be a public key under its thumbprint.
func kids(t *testing.T, r *keyring.Ring) (ids []string) {
	t.Helper()
	data, etag := r.JWKS()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(data, &set); err != nil || !strings.HasPrefix(etag, `"`) {
		t.Fatalf("set %s, etag %s: %v", data, etag, err)
	}
	for _, k := range set.Keys {
		print, err := k.Thumbprint(crypto.SHA256)
		if err != nil || !k.IsPublic() || k.Use != "sig" || base64.RawURLEncoding.EncodeToString(print) != k.KeyID {
			t.Errorf("a key that should not be there: %+v, %v", k, err)
		}
		ids = append(ids, k.KeyID)
	}
	if !slices.IsSorted(ids) {
		t.Errorf("replicas that know the same would serve it in different orders: %q", ids)
	}
	return ids
}

func serves(t *testing.T, r *keyring.Ring, kid string) bool {
	t.Helper()
	_, _, ok := r.Lookup(kid)
	if listed := slices.Contains(kids(t, r), kid); ok != listed {
		t.Errorf("%s: looked up %t, listed %t", kid, ok, listed)
	}
	return ok
}

func TestSignAndVerify(t *testing.T) {
	for _, alg := range []string{"", keyring.ES256, keyring.EdDSA} {
		r := open(t, keyring.Config{Algorithm: alg})
		token, kid := sign(t, r)
		_, err := jwt.Parse(token, func(*jwt.Token) (any, error) {
			key, _, _ := r.Lookup(kid)
			return key, nil
		}, jwt.WithValidMethods([]string{max(alg, keyring.ES256)}), jwt.WithStrictDecoding())
		if err != nil || r.Ready() != nil {
			t.Errorf("%q: %v, ready: %v", alg, err, r.Ready())
		}
	}
	if _, err := keyring.Open(t.Context(), keyring.Config{Algorithm: "HS256"}); err == nil {
		t.Error("HS256 was accepted")
	}
	if _, err := keyring.Open(t.Context(), keyring.Config{Rotate: time.Minute}); err == nil {
		t.Error("a key would sign before it is known")
	}
}

func TestSignHoldsTheLife(t *testing.T) {
	r := open(t, keyring.Config{TokenLife: time.Minute})
	for what, claims := range map[string]any{
		"too long": map[string]any{"exp": time.Now().Add(2*time.Minute + 2*time.Second).Unix()}, "no exp": map[string]any{"sub": "x"},
		"exp as text": map[string]any{"exp": "1"}, "no object": "text", "nothing": nil, "not JSON": func() {},
	} {
		if _, err := r.Sign(t.Context(), "at+jwt", claims); !errors.Is(err, fault.Internal) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSecondReplicaIsKnown: a replica's key is in the store before its first signature, and in the other's
// set one poll later.
func TestSecondReplicaIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		a, _ := start(t, keyring.Config{Publisher: store, Replica: "a"})
		b, _ := start(t, keyring.Config{Publisher: store, Replica: "b", Algorithm: keyring.EdDSA})
		_, kidA := sign(t, a)
		_, kidB := sign(t, b)
		if !serves(t, b, kidA) {
			t.Error("the second replica does not know the first at its start")
		}
		time.Sleep(10*time.Second + 1)
		synctest.Wait()
		setA, tagA := a.JWKS()
		setB, tagB := b.JWKS()
		if !serves(t, a, kidB) || string(setA) != string(setB) || tagA != tagB {
			t.Errorf("after a poll the sets differ:\n%s %s\n%s %s", setA, tagA, setB, tagB)
		}
	})
}

// TestKilledReplica: its keys stay until the last token is dead, and then leave set and store.
func TestKilledReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		a, kill := start(t, keyring.Config{Publisher: store})
		b, _ := start(t, keyring.Config{Publisher: store})
		time.Sleep(50 * time.Minute)
		_, kid := sign(t, a)
		kill()
		for end := time.Now().Add(5*time.Minute + 30*time.Second); time.Now().Before(end); time.Sleep(5 * time.Second) {
			if !serves(t, b, kid) {
				t.Fatalf("its key is gone %v before the last token ends", time.Until(end))
			}
		}
		time.Sleep(time.Hour + 2*time.Minute)
		if serves(t, b, kid) || store.size() != 1 {
			t.Errorf("its key is still served: %t; keys in the store: %d", serves(t, b, kid), store.size())
		}
	})
}

func TestLivingReplicaKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		a, _ := start(t, keyring.Config{Publisher: store})
		_, kid := sign(t, a)
		b, _ := start(t, keyring.Config{Publisher: store})
		for range 5 {
			time.Sleep(time.Hour)
			if !serves(t, b, kid) {
				t.Fatal("the key of a living replica is gone")
			}
		}
	})
}

// TestStoreAwayAtTheStart: the replica signs and serves its own key, and only Ready tells.
func TestStoreAwayAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		store.fail(errAway)
		r, _ := start(t, keyring.Config{Publisher: store})
		_, kid := sign(t, r)
		if !serves(t, r, kid) {
			t.Error("it does not serve its own key")
		}
		if err := r.Ready(); !errors.Is(err, errAway) {
			t.Errorf("ready: %v", err)
		}
		store.fail(nil)
		time.Sleep(10*time.Second + 1)
		synctest.Wait()
		if r.Ready() != nil || store.size() != 1 {
			t.Errorf("ready: %v, %d keys in the store", r.Ready(), store.size())
		}
		store.fail(errAway)
		time.Sleep(time.Minute)
		if err := r.Ready(); err != nil {
			t.Errorf("the others know the key, and yet: %v", err)
		}
	})
}

// TestStoreHangs: a store that never answers costs a start no more than its timeouts.
func TestStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		r := open(t, keyring.Config{Publisher: hanging{}})
		if took := time.Since(begin); took != 10*time.Second || r.Ready() == nil {
			t.Errorf("the start took %v; ready: %v", took, r.Ready())
		}
		sign(t, r)
	})
}

type hanging struct{}

func (hanging) Publish(ctx context.Context, _ keyring.PublicKey) error {
	<-ctx.Done()
	return ctx.Err()
}
func (hanging) Remove(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }
func (hanging) Keys(ctx context.Context) ([]keyring.PublicKey, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestKeyTakenOutOfTheStore: somebody deletes the keys of all; each replica puts its own back.
func TestKeyTakenOutOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		r, _ := start(t, keyring.Config{Publisher: store})
		time.Sleep(time.Minute)
		store.mu.Lock()
		clear(store.kept)
		store.mu.Unlock()
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if store.size() != 1 || r.Ready() != nil {
			t.Errorf("%d keys in the store, ready: %v", store.size(), r.Ready())
		}
	})
}

// late is a store that lists only later what it was told.
type late struct {
	*shared
	from time.Time
}

func (l late) Keys(ctx context.Context) ([]keyring.PublicKey, error) {
	if time.Now().Before(l.from) {
		return nil, nil
	}
	return l.shared.Keys(ctx)
}

func TestStoreListsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := start(t, keyring.Config{Publisher: late{newShared(), time.Now().Add(15 * time.Second)}})
		for range 60 {
			if err := r.Ready(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestNothingPrints(t *testing.T) {
	r := open(t, keyring.Config{Algorithm: keyring.EdDSA})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if text := fmt.Sprintf(verb, r); len(text) > 4000 {
			t.Errorf("%s prints %d bytes: %s", verb, len(text), text)
		}
	}
	if data, err := json.Marshal(r); err != nil || string(data) != "{}" {
		t.Errorf("encodes as %s, %v", data, err)
	}
	if set, _ := r.JWKS(); strings.Contains(string(set), `"d"`) {
		t.Errorf("the set holds a private key: %s", set)
	}
}

func TestSlug(t *testing.T) {
	seen := map[string]bool{}
	for _, kid := range []string{"", "a", "A", "../x", strings.Repeat("k", 10000)} {
		slug := keyring.Slug(kid)
		if len(slug) != 32 || strings.Trim(slug, "0123456789abcdef") != "" || seen[slug] {
			t.Errorf("%.10q: %q", kid, slug)
		}
		seen[slug] = true
	}
}
