package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/gateway/session/sessiontest"
	"github.com/intercom-broker/intercom/broker/secret"
)

func key(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, 32)) }

func ring(t testing.TB, keys ...secret.Value) *session.Ring {
	t.Helper()
	r, err := session.NewRing(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealed returns one value of each kind, for two sessions.
func sealed(t testing.TB, r *session.Ring, s session.Session) (whole, over, seen []byte) {
	t.Helper()
	whole, err1 := r.Seal(s)
	over, err2 := r.SealEnded(s.Hash, session.EndOf(s, session.ReasonLogout, s.Created))
	seen, err3 := r.SealTime(s.Hash, s.Created)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return whole, over, seen
}

func TestSealedIsBound(t *testing.T) {
	r := ring(t, key(1))
	ann, bob := sessiontest.New("ann", "s1"), sessiontest.New("bob", "s2")
	whole, over, seen := sealed(t, r, ann)
	got, err := r.Open(ann.Hash, whole)
	if err != nil {
		t.Fatal(err)
	}
	if diff := sessiontest.Diff(ann, got); diff != "" {
		t.Error(diff)
	}
	if _, err := r.Open(ann.Hash, over); !errors.As(err, new(*session.Ended)) {
		t.Errorf("a tombstone opens as %v", err)
	}
	if at, err := r.OpenTime(ann.Hash, seen); err != nil || !at.Equal(ann.Created) {
		t.Errorf("activity opens as %v, %v", at, err)
	}
	for name, value := range map[string][]byte{"session": whole, "tombstone": over} {
		if _, err := r.Open(bob.Hash, value); err == nil || errors.As(err, new(*session.Ended)) {
			t.Errorf("another's %s opens: %v", name, err)
		}
		if _, err := r.OpenTime(ann.Hash, value); err == nil {
			t.Errorf("a %s opens as activity", name)
		}
	}
	if _, err := r.Open(ann.Hash, seen); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("activity opens as a session: %v", err)
	}
	if _, err := r.OpenTime(bob.Hash, seen); err == nil {
		t.Error("another's activity opens")
	}
}

// TestSealedIsWhole flips each bit of a value: nothing of it may be changed, the head in the clear included.
func TestSealedIsWhole(t *testing.T) {
	r := ring(t, key(1), key(2))
	ann := sessiontest.New("ann", "s1")
	whole, _, _ := sealed(t, r, ann)
	for i := range whole {
		for bit := range 8 {
			changed := bytes.Clone(whole)
			changed[i] ^= 1 << bit
			if _, err := r.Open(ann.Hash, changed); !errors.Is(err, fault.Unauthenticated) || fault.From(err).Code() != session.CodeNone {
				t.Fatalf("byte %d, bit %d changed: %v", i, bit, err)
			}
		}
	}
}

func TestRingRotates(t *testing.T) {
	ann := sessiontest.New("ann", "s1")
	r := ring(t, key(1))
	old, _, _ := sealed(t, r, ann)
	if err := r.Set(key(2), key(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(ann.Hash, old); err != nil {
		t.Errorf("a new key logs everybody out: %v", err)
	}
	young, _, _ := sealed(t, r, ann)
	if _, err := ring(t, key(1)).Open(ann.Hash, young); err == nil {
		t.Error("sealed with the old key")
	}
	for name, keys := range map[string][]secret.Value{"none": nil, "a short one": {key(2), secret.FromString("short")}} {
		if err := r.Set(keys...); err == nil || strings.Contains(err.Error(), "short") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Open(ann.Hash, young); err != nil {
		t.Errorf("a refused ring took the place of the good one: %v", err)
	}
	if err := r.Set(key(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Open(ann.Hash, young); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("sealed with a key that is gone: %v", err)
	}
}

// TestNothingPrints: an id and tokens go into logs and errors by accident, and show nothing there.
func TestNothingPrints(t *testing.T) {
	id, s := session.NewID(), sessiontest.New("ann", "s1")
	e := session.EndOf(s, session.ReasonLogout, time.Now())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		out := fmt.Sprintf(format, []any{id, s, e, &e, s.Tokens})
		if strings.Contains(out, id.Cookie()) || strings.Contains(out, "eyJ") || strings.Contains(out, "65794a") {
			t.Errorf("%s prints %s", format, out)
		}
	}
}

// FuzzFindID: whatever a browser sends, there is an id in its one form or none.
func FuzzFindID(f *testing.F) {
	good := session.NewID().Cookie()
	for _, seed := range []string{"", "ic=" + good, "ic=" + good + "; ic=" + good, "ic=\"" + good + "\"", "ic=" + good[:42] + "=", "ic", ";;;=", "ic=" + strings.Repeat("A", 43)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		id, ok := session.FindID(&http.Request{Header: http.Header{"Cookie": {header}}}, "ic")
		if !ok {
			if !id.IsZero() {
				t.Error("no id, and one all the same")
			}
			return
		}
		if again, ok := session.ParseID(id.Cookie()); !ok || again.Hash() != id.Hash() {
			t.Errorf("%q is no id's form", id.Cookie())
		}
		if !strings.Contains(header, id.Cookie()) {
			t.Errorf("an id that %q does not hold", header)
		}
	})
}

// FuzzOpen: whatever stands in the store, it opens only as what was sealed there.
func FuzzOpen(f *testing.F) {
	r := ring(f, key(1))
	ann := sessiontest.New("ann", "s1")
	whole, over, seen := sealed(f, r, ann)
	for _, seed := range [][]byte{nil, whole, over, seen, whole[:42], whole[:41], append(bytes.Clone(over), 0)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		s, err := r.Open(ann.Hash, value)
		_, isEnd := errors.AsType[*session.Ended](err)
		switch {
		case err == nil && bytes.Equal(value, whole) && s.Subject == "ann":
		case isEnd && bytes.Equal(value, over):
		case errors.Is(err, fault.Unauthenticated) && !isEnd:
		default:
			t.Errorf("opened as %v, %v", s.Subject, err)
		}
		if _, err := r.OpenTime(ann.Hash, value); err == nil && !bytes.Equal(value, seen) {
			t.Error("opened as activity")
		}
	})
}

// TestSealedBy: the key is told without opening, and tombstones and rubbish are no sessions.
func TestSealedBy(t *testing.T) {
	r, h := ring(t, key(1)), session.NewID().Hash()
	sealed, err := r.Seal(session.Session{Hash: h})
	if err != nil {
		t.Fatal(err)
	}
	tombstone, err := r.SealEnded(h, session.Ended{})
	if err != nil {
		t.Fatal(err)
	}
	for want, r := range map[int]*session.Ring{0: ring(t, key(1), key(2)), 1: ring(t, key(2), key(1)), -1: ring(t, key(2))} {
		if got, ok := r.SealedBy(sealed); got != want || !ok {
			t.Errorf("%d, %t, want %d", got, ok, want)
		}
	}
	for _, other := range [][]byte{tombstone, sealed[:20], nil} {
		if _, ok := r.SealedBy(other); ok {
			t.Errorf("%x is taken for a session", other)
		}
	}
}
