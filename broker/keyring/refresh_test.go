package keyring_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom-broker/intercom/broker/keyring"
)

// TestRefreshFindsAYoungReplica: the first token of a replica that has just started is met by a verifier
// that asks another replica for the keys.
func TestRefreshFindsAYoungReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newShared()
		old := openRing(t, store)
		old.Refresh(t.Context())
		young := openRing(t, store)
		_, mine := young.JWKS()
		if _, before := old.JWKS(); before == mine {
			t.Fatal("the older replica knows the younger one's key before it asked: the test shows nothing")
		}
		old.Refresh(t.Context())
		if _, again := old.JWKS(); again == mine {
			t.Error("the store was asked twice within a second")
		}
		time.Sleep(time.Second)
		old.Refresh(t.Context())
		if _, after := old.JWKS(); after != mine {
			t.Error("the older replica does not serve the younger one's key after a second")
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
