package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// lease is how far ahead a living replica says that its key counts; it says so again at half of it. A
	// killed replica's key stays so long, and a store may be away for half of it before other
	// replicas, which then restart, lose sight of a key that is in use.
	lease = time.Hour

	// maxPeers bounds the JWK set, which takes some 200 bytes a key. A replica that restarts every ten seconds
	// has 400 keys in the store after an hour.
	maxPeers = 500

	// maxRemovals bounds the work of one turn in the store.
	maxRemovals = 50
)

// peer is a key of the store, ours among them.
type peer struct {
	verifyingKey
	until time.Time
}

// snapshot is what is served: made whole by each turn, and swapped by one pointer.
type snapshot struct {
	active *signingKey
	keys   map[string]verifyingKey
	jwks   []byte
	etag   string
	ready  error
	// settled is when every other replica serves the active key; zero: there is none to wait for.
	settled time.Time
}

// horizon is until when a key counts that signs until the lease is renewed.
func (r *Ring) horizon(now time.Time) time.Time { return now.Add(lease + r.tail()) }

// tail is how long after its last signature a key is needed.
func (r *Ring) tail() time.Duration { return r.cfg.TokenLife + 2*skew }

// turn does what is due. Nothing in it fails: what the store did not take is due again the next time.
func (r *Ring) turn(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeTurn(ctx)
}

// takeTurn is turn for who holds the lock.
func (r *Ring) takeTurn(ctx context.Context) {
	r.last = r.cfg.Now()
	r.rotate()
	err := r.publish(ctx)
	if polled := r.poll(ctx); err == nil {
		err = polled
	}
	r.note(err)
	r.swap()
}

// rotate makes the next key when its time comes, lets it sign when it was known for long enough, and
// forgets those whose last token is dead.
func (r *Ring) rotate() {
	now := r.cfg.Now()
	if r.next == nil && !now.Before(r.active.since.Add(r.cfg.Rotate-r.cfg.lead())) {
		next, err := r.generate()
		if err != nil {
			r.cfg.Logger.Error("no next signing key could be made", "error", err)
			return
		}
		r.next = next
	}
	if n := r.next; n != nil && !n.known.IsZero() && !now.Before(n.known.Add(r.cfg.lead())) {
		r.active.until = now.Add(r.tail())
		r.retired = append(r.retired, r.active)
		n.since = now
		r.active, r.next = n, nil
		r.cfg.Metrics.rotated()
		r.cfg.Logger.Info("another key signs", "kid", n.id)
	}
	r.retired = slices.DeleteFunc(r.retired, func(k *signingKey) bool { return now.After(k.until) })
}

// own returns all our keys, the one that signs first.
func (r *Ring) own() []*signingKey {
	keys := append([]*signingKey{r.active}, r.retired...)
	if r.next != nil {
		keys = append(keys, r.next)
	}
	return keys
}

// publish tells the store what it does not know of our keys. The one that signs comes first: it is what
// others wait for.
func (r *Ring) publish(ctx context.Context) (failed error) {
	for _, k := range r.own() {
		now := r.cfg.Now()
		if renew := r.horizon(now); (k == r.active || k == r.next) && renew.Sub(k.until) >= lease/2 {
			k.until = renew
		}
		if !k.known.IsZero() && k.told.Equal(k.until) {
			continue
		}
		if err := r.tell(ctx, k); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		k.told, k.toldAt = k.until, r.cfg.Now()
		if k.known.IsZero() {
			k.known = k.toldAt
		}
	}
	return failed
}

func (r *Ring) tell(ctx context.Context, k *signingKey) error {
	if r.cfg.Publisher == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	return r.cfg.Publisher.Publish(ctx, k.public(r.cfg.Replica))
}

// poll reads the keys of all. When the store is away, what it said last stands, also what is past its time
// by now: nobody could have moved it.
func (r *Ring) poll(ctx context.Context) error {
	if r.cfg.Publisher == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	published, err := r.cfg.Publisher.Keys(ctx)
	if err != nil {
		return err
	}
	r.missOwn(published)
	return r.remove(ctx, r.sort(published))
}

// sort takes the keys that count for peers, and returns the ids of those that are past their time.
func (r *Ring) sort(published []PublicKey) (past []string) {
	now, strange := r.cfg.Now(), 0
	r.peers = nil
	for _, k := range published {
		switch v, err := r.check(k); {
		case err != nil:
			if strange++; strange > r.strange {
				r.cfg.Logger.Warn("an entry of the shared store is no key of ours", "replica", clip(k.Replica), "kid", clip(k.ID), "error", err)
			}
		case now.After(k.Until):
			past = append(past, k.ID)
		default:
			r.peers = append(r.peers, peer{v, k.Until})
		}
	}
	r.strange = strange
	r.cfg.Metrics.ignore(strange)
	slices.SortFunc(r.peers, func(a, b peer) int { return b.until.Compare(a.until) })
	r.peers = r.peers[:min(len(r.peers), maxPeers)]
	return past
}

// check parses k, unless it is one that was checked before.
func (r *Ring) check(k PublicKey) (verifyingKey, error) {
	if s := r.current.Load(); s != nil {
		if v, ok := s.keys[k.ID]; ok && bytes.Equal(v.jwk, k.JWK) {
			return v, nil
		}
	}
	return parse(k)
}

// clip keeps what a stranger wrote from filling the log.
func clip(s string) string { return s[:min(len(s), 64)] }

// missOwn finds keys of ours that somebody took out of the store, so that they are published again. A
// store may take a moment until it lists what it was told.
func (r *Ring) missOwn(published []PublicKey) {
	for _, k := range r.own() {
		settled := r.cfg.Now().Sub(k.toldAt) > 2*r.cfg.Poll
		if settled && !slices.ContainsFunc(published, func(p PublicKey) bool { return p.ID == k.id }) {
			k.known, k.told = time.Time{}, time.Time{}
		}
	}
}

func (r *Ring) remove(ctx context.Context, ids []string) (failed error) {
	for _, id := range ids[:min(len(ids), maxRemovals)] {
		if slices.ContainsFunc(r.own(), func(k *signingKey) bool { return k.id == id }) {
			continue // somebody's clock is off, perhaps ours: it is told again
		}
		failed = errors.Join(failed, r.cfg.Publisher.Remove(ctx, id))
	}
	return failed
}

// note logs when the store goes away and when it is back.
func (r *Ring) note(err error) {
	switch {
	case err != nil && r.away == nil:
		r.cfg.Logger.Error("the shared store of public keys does not answer", "error", err)
	case err == nil && r.away != nil:
		r.cfg.Logger.Info("the shared store of public keys answers again")
	}
	r.away = err
	r.cfg.Metrics.turned(err)
}

// swap makes a snapshot of our keys and those of the others the current one.
func (r *Ring) swap() {
	s := &snapshot{active: r.active, keys: map[string]verifyingKey{}}
	for _, p := range r.peers {
		s.keys[p.id] = p.verifyingKey
	}
	for _, k := range r.own() {
		s.keys[k.id] = k.verifyingKey
	}
	s.jwks = encodeSet(s.keys)
	sum := sha256.Sum256(s.jwks)
	s.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
	// The store was read after our key was written: who is not in it will read our key when it comes.
	if alone := len(s.keys) == len(r.own()); !alone && !r.active.known.IsZero() {
		s.settled = r.active.known.Add(settle)
	}
	if r.active.known.IsZero() {
		s.ready = fmt.Errorf("keyring: the other replicas do not know our signing key yet: %w", r.away)
	}
	r.cfg.Metrics.serve(len(s.keys))
	r.current.Store(s)
}

// encodeSet writes the set in the order of the kids, so that replicas that know the same serve the same.
func encodeSet(keys map[string]verifyingKey) []byte {
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{}
	sorted := make([]verifyingKey, 0, len(keys))
	for _, k := range keys {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, func(a, b verifyingKey) int { return strings.Compare(a.id, b.id) })
	for _, k := range sorted {
		set.Keys = append(set.Keys, k.jwk)
	}
	data, err := json.Marshal(set)
	if err != nil {
		panic("keyring: internal error: a set of encoded keys does not encode: " + err.Error())
	}
	return data
}
