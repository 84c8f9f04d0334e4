package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/exchange"
	"github.com/intercom-broker/intercom/broker/fault"
)

// shelf is a store in memory that can be away, and counts how often it is listed.
type shelf struct {
	mu    sync.Mutex
	names map[credential.Name]credential.Fields
	away  error
	lists int
}

func newShelf() *shelf { return &shelf{names: map[credential.Name]credential.Fields{}} }

func (s *shelf) goAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func (s *shelf) Read(_ context.Context, name credential.Name) (credential.Credential, error) {
	return credential.Credential{}, credential.Unknown(name)
}

func (s *shelf) Write(_ context.Context, name credential.Name, fields credential.Fields) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == nil {
		s.away = errors.Join(name.Check(), fields.Check())
		s.names[name] = fields
	}
	return 1, s.away
}

func (s *shelf) Delete(_ context.Context, name credential.Name) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
	return s.away
}

func (s *shelf) List(_ context.Context, prefix credential.Name) ([]credential.Name, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	var names []credential.Name
	for name := range s.names {
		if name.Within(prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, s.away
}

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func revoked(t *testing.T, r *exchange.Revocations, id string) bool {
	t.Helper()
	is, err := r.Has(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return is
}

// TestReplicasShareRevocations: what one says, the other knows a second later, until the token is over;
// then the store is empty again.
func TestReplicasShareRevocations(t *testing.T) {
	store, c := newShelf(), &clock{time.Now()}
	one, two := exchange.NewRevocations(store, nil, c.now), exchange.NewRevocations(store, nil, c.now)
	if revoked(t, one, "A") || revoked(t, two, "A") {
		t.Fatal("revoked before it was")
	}
	if err := one.Add(t.Context(), "A", c.at.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if !revoked(t, one, "A") {
		t.Error("the replica that revoked it does not know")
	}
	c.forward(time.Second)
	if !revoked(t, two, "A") || revoked(t, two, "a") {
		t.Error("the other replica does not know a second later, or takes another for it")
	}
	c.forward(5*time.Minute + 20*time.Second) // verifiers allow 30 s
	for _, r := range []*exchange.Revocations{one, two} {
		if err := r.Sweep(t.Context()); err != nil || !revoked(t, r, "A") {
			t.Errorf("forgotten too early: %v", err)
		}
	}
	c.forward(time.Minute)
	if err := two.Sweep(t.Context()); err != nil || len(store.names) != 0 {
		t.Errorf("after its end the store has %v, %v", store.names, err)
	}
	if revoked(t, one, "A") {
		t.Error("still in memory after its end")
	}
}

// TestTheStoreIsAskedOnceASecond by however many.
func TestTheStoreIsAskedOnceASecond(t *testing.T) {
	store, c := newShelf(), &clock{time.Now()}
	r := exchange.NewRevocations(store, nil, c.now)
	for range 1000 {
		revoked(t, r, "A")
	}
	if store.lists != 1 {
		t.Errorf("%d lists", store.lists)
	}
	c.forward(999 * time.Millisecond)
	revoked(t, r, "A")
	c.forward(time.Millisecond)
	revoked(t, r, "A")
	if store.lists != 2 {
		t.Errorf("%d lists, a second later", store.lists)
	}
}

// TestWithoutTheStore: what was known counts for half of a token's life, and then nothing is known. What
// was known once is not forgotten, whatever the store says afterwards.
func TestWithoutTheStore(t *testing.T) {
	store, c := newShelf(), &clock{time.Now()}
	store.goAway(errors.New("sealed"))
	r := exchange.NewRevocations(store, nil, c.now)
	if _, err := r.Has(t.Context(), "A"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("never read: %v", err)
	}
	if err := r.Add(t.Context(), "A", c.at.Add(time.Minute)); !errors.Is(err, fault.Unavailable) {
		t.Errorf("revoked without a store: %v", err)
	}
	store.goAway(nil)
	c.forward(5 * time.Second)
	if err := r.Add(t.Context(), "A", c.at.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	store.goAway(errors.New("sealed"))
	c.forward(150 * time.Second)
	if !revoked(t, r, "A") || revoked(t, r, "B") {
		t.Error("within the budget")
	}
	c.forward(5 * time.Second)
	if _, err := r.Has(t.Context(), "B"); !errors.Is(err, fault.Unavailable) {
		t.Errorf("beyond the budget: %v", err)
	}
	store.goAway(nil)
	clear(store.names)
	c.forward(5 * time.Second)
	if !revoked(t, r, "A") {
		t.Error("a token is good again because the store lost it")
	}
}

// TestRevocationsAreBounded, and what is full says so instead of forgetting.
func TestRevocationsAreBounded(t *testing.T) {
	store, c := newShelf(), &clock{time.Now()}
	r := exchange.NewRevocations(store, nil, c.now)
	for i := range 10_000 {
		if err := r.Add(t.Context(), fmt.Sprint(i), c.at.Add(time.Minute)); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	want(t, "one more", r.Add(t.Context(), "one more", c.at.Add(time.Minute)), fault.Unavailable, "REVOCATIONS_FULL")
	c.forward(3 * time.Minute)
	if err := r.Add(t.Context(), "one more", c.at.Add(time.Minute)); err != nil {
		t.Errorf("after the others' end: %v", err)
	}
}

// TestStrangersInTheStoreAreLeftAlone: what is not written by us is neither believed nor removed.
func TestStrangersInTheStoreAreLeftAlone(t *testing.T) {
	store, c := newShelf(), &clock{time.Now()}
	strange := []credential.Name{"intercom/revoked", "intercom/revoked/x", "intercom/revoked/1-x", "intercom/revoked/-", "intercom/revoked/a/b"}
	for _, name := range strange {
		store.names[name] = nil
	}
	r := exchange.NewRevocations(store, nil, c.now)
	if err := r.Sweep(t.Context()); err != nil || len(store.names) != len(strange) || revoked(t, r, "x") {
		t.Errorf("the store has %v, %v", store.names, err)
	}
}
