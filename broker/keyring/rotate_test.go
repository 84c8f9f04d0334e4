package keyring_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-broker/intercom/broker/keyring"
)

// TestRotation lets two replicas rotate for ten hours while one verifier fetches its set from the one and then
// from the other, as a balancer sends it, no more often than max-age. Not one token may be refused.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		cfg := keyring.Config{Publisher: store, Rotate: time.Hour, Algorithm: keyring.EdDSA}
		a, _ := start(t, cfg)
		time.Sleep(17 * time.Second)
		b, _ := start(t, cfg)
		time.Sleep(time.Minute) // a first start is not announced: see Open
		rings := []*keyring.Ring{a, b}
		used := map[string]bool{}
		var known []string
		for i := range 10 * 60 {
			known = kids(t, rings[i%2])
			for range 3 {
				time.Sleep(20*time.Second - time.Nanosecond)
				for _, r := range rings {
					_, kid := sign(t, r)
					used[kid] = true
					if !slices.Contains(known, kid) {
						t.Fatalf("minute %d: a token is signed with a key that the verifier cannot know", i)
					}
				}
			}
		}
		if len(used) < 18 || len(kids(t, a)) > 8 || store.size() > 8 {
			t.Errorf("%d keys signed in ten hours, %d are served, %d are in the store", len(used), len(kids(t, a)), store.size())
		}
	})
}

// TestRetiredKeyOutlivesItsTokens verifies the last token of a key in the last second of the token.
func TestRetiredKeyOutlivesItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		cfg := keyring.Config{Publisher: store, Rotate: 10 * time.Minute}
		a, _ := start(t, cfg)
		b, _ := start(t, cfg)
		last, first := sign(t, a)
		began, signed := time.Now(), time.Now()
		for range 3600 {
			time.Sleep(time.Second)
			token, kid := sign(t, a)
			if kid != first {
				break
			}
			last, signed = token, time.Now()
		}
		if life := signed.Sub(began); life < 10*time.Minute-10*time.Second || life > 10*time.Minute+10*time.Second {
			t.Errorf("the first key signed for %v", life)
		}
		time.Sleep(time.Until(signed.Add(5*time.Minute - time.Second)))
		for _, r := range []*keyring.Ring{a, b} {
			if _, err := jwt.Parse(last, func(*jwt.Token) (any, error) {
				key, _, _ := r.Lookup(first)
				return key, nil
			}); err != nil {
				t.Errorf("a living token of a retired key: %v", err)
			}
		}
		time.Sleep(3 * time.Minute)
		if serves(t, a, first) || serves(t, b, first) {
			t.Error("a key is served whose last token is dead")
		}
	})
}

// TestNoRotationWithoutTheStore: the next key is not used while nobody can know it, and the key in use
// stays known for as long as it takes.
func TestNoRotationWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		cfg := keyring.Config{Publisher: store, Rotate: time.Hour}
		a, _ := start(t, cfg)
		b, _ := start(t, cfg)
		time.Sleep(30 * time.Second)
		_, kid := sign(t, a)
		store.fail(errAway)
		for range 3 * 60 {
			time.Sleep(time.Minute)
			if _, now := sign(t, a); now != kid || !serves(t, b, kid) {
				t.Fatalf("signs with another key: %t; the other replica serves it: %t", now != kid, serves(t, b, kid))
			}
		}
		store.fail(nil)
		time.Sleep(30 * time.Second)
		if _, now := sign(t, a); now != kid {
			t.Error("the next key signs before the verifiers can know it")
		}
		time.Sleep(time.Minute)
		if _, now := sign(t, a); now == kid {
			t.Error("the store is back, and no other key signs")
		}
	})
}

// TestManyDeadReplicas: the keys of replicas that restarted in a loop are served, bounded, and go away.
func TestManyDeadReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, reg := newShared(), prometheus.NewRegistry()
		for range 550 {
			open(t, keyring.Config{Publisher: dumb{store}, Algorithm: keyring.EdDSA})
		}
		r, _ := start(t, keyring.Config{Publisher: store, Poll: 5 * time.Minute, Metrics: keyring.NewMetrics(reg)})
		_, kid := sign(t, r)
		if n := len(kids(t, r)); n < 500 || n > 501 || !serves(t, r, kid) {
			t.Errorf("%d keys are served; its own: %t", n, serves(t, r, kid))
		}
		time.Sleep(3 * time.Hour)
		if n := store.size(); n != 1 {
			t.Errorf("%d keys are left in the store", n)
		}
	})
}

// dumb publishes and reads nothing: a replica that is killed at once.
type dumb struct{ *shared }

func (dumb) Keys(context.Context) ([]keyring.PublicKey, error) { return nil, nil }

func BenchmarkSign(b *testing.B) {
	for _, alg := range []string{keyring.ES256, keyring.EdDSA} {
		b.Run(alg, func(b *testing.B) {
			r, err := keyring.Open(b.Context(), keyring.Config{Algorithm: alg})
			if err != nil {
				b.Fatal(err)
			}
			claims := map[string]any{"iss": "https://intercom.test", "sub": "spiffe://a.test/orders", "exp": time.Now().Add(time.Minute).Unix()}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(b.Context(), "at+jwt", claims); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
