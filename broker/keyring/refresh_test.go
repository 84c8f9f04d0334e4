package keyring_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/keyring"
)

// TestRefreshAsksAtMostOnceASecond, however many verifiers ask.
func TestRefreshAsksAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		ring := openRing(t, store)
		_, before := ring.JWKS()
		publish(t, store)
		ring.Refresh(t.Context())
		if _, again := ring.JWKS(); again != before {
			t.Error("the store was asked twice within a second")
		}
		time.Sleep(time.Second)
		ring.Refresh(t.Context())
		if _, after := ring.JWKS(); after == before {
			t.Error("the store was not asked after a second")
		}
	})
}

// publish puts another replica's key into the store.
func publish(t *testing.T, store *shared) {
	t.Helper()
	elsewhere := newShared()
	openRing(t, elsewhere)
	keys, err := elsewhere.Keys(t.Context())
	if err == nil {
		err = store.Publish(t.Context(), keys[0])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestYoungReplicaIsServedWhenItSigns: an older replica that has just read the store reads it again before
// any verifier can have met a token of the younger one.
func TestYoungReplicaIsServedWhenItSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		old := openRing(t, store)
		time.Sleep(time.Minute)
		old.Refresh(t.Context())
		young := openRing(t, store)
		_, kid := sign(t, young)
		old.Refresh(t.Context())
		if !serves(t, old, kid) {
			t.Error("a token is there that the older replica has no key for")
		}
		if err := young.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

// TestReadyMeansThatOthersServeTheKey, also when the store was away at the start and verifiers ask all the
// time.
func TestReadyMeansThatOthersServeTheKey(t *testing.T) {
	for offset := time.Duration(0); offset < 3*time.Second; offset += 130 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			store := newShared()
			old, _ := start(t, keyring.Config{Publisher: store})
			time.Sleep(time.Minute + offset)
			store.fail(errAway)
			young, _ := start(t, keyring.Config{Publisher: store})
			time.Sleep(offset)
			store.fail(nil)
			began := time.Now()
			for young.Ready() != nil {
				old.Refresh(t.Context())
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("offset %v: ready %v after the store was back", offset, took)
			}
			_, kid := sign(t, young)
			old.Refresh(t.Context())
			if !serves(t, old, kid) {
				t.Errorf("offset %v: ready, and the older replica has no key for its tokens", offset)
			}
		})
	}
}

// TestAloneNobodyIsWaitedFor: the first replica does not wait for others that there are not.
func TestAloneNobodyIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ring := openRing(t, newShared())
		if took := time.Since(began); took != 0 || ring.Ready() != nil {
			t.Errorf("the start took %v; ready: %v", took, ring.Ready())
		}
	})
}

// TestRefreshLeavesAStoreAlone that does not answer.
func TestRefreshLeavesAStoreAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		ring := openRing(t, store)
		store.fail(errors.New("away"))
		time.Sleep(2 * time.Second)
		ring.Refresh(t.Context()) // learns of it
		store.fail(nil)
		other := openRing(t, store)
		_, both := other.JWKS()
		time.Sleep(2 * time.Second)
		ring.Refresh(t.Context())
		if _, got := ring.JWKS(); got == both {
			t.Error("a store that did not answer was asked again for a verifier, not by the poll")
		}
	})
}

func openRing(t *testing.T, store keyring.Publisher) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Open(t.Context(), keyring.Config{Publisher: store})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
