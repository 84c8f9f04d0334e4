package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

const (
	// revokedPrefix is where replicas tell each other. An entry's name says all: when it may be forgotten,
	// and a digest of the token's id. So one LIST reads everything.
	revokedPrefix = credential.Name("intercom/revoked")
	revokedField  = "revoked" // a store keeps no credential without fields

	// listFresh is how old the list may be that an answer rests on, and with a request's way how long it
	// takes until every replica knows.
	listFresh = time.Second
	// listStale is how long the last list counts while the store does not answer. Nothing can be revoked
	// then either, except from replicas that still reach the store; half of a token's life bounds that.
	listStale = token.MaxLife / 2
	// listTimeout bounds one talk with the store, and listRetry is how long it is left alone when that fails:
	// whoever asks meanwhile is not kept waiting.
	listTimeout = 2 * time.Second
	listRetry   = 5 * time.Second
	// listSweep is how often what is over is removed.
	listSweep = time.Minute
	// afterwards is how long an entry outlives its token: verifiers allow clocks to differ by half of it.
	afterwards = time.Minute
	// maxRevoked bounds the list. Tokens live for minutes, so this is some thirty a second without a pause.
	maxRevoked = 10_000
)

// Revocations are the tokens that were revoked before their end (RFC 7009), by their jti. All replicas
// that share a store share them. The store is asked when an answer needs it, at most once a second; a
// broker that is not asked asks nothing.
type Revocations struct {
	store credential.Store
	log   *slog.Logger
	now   func() time.Time

	mu    sync.Mutex
	known map[credential.Name]time.Time // each with its end
	read  time.Time                     // when the store was read last
	retry time.Time                     // when it may be tried again
	err   error                         // why it did not work last
}

// NewRevocations returns the revocations in store. A nil log is one that nobody reads, a nil now time.Now.
func NewRevocations(store credential.Store, log *slog.Logger, now func() time.Time) *Revocations {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &Revocations{store: store, log: log, now: now, known: map[credential.Name]time.Time{}}
}

// Has reports whether the token with that id was revoked. It is fault.Unavailable when that is not known:
// a token of unknown state is not good.
func (r *Revocations) Has(ctx context.Context, id string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh(ctx)
	if r.read.IsZero() || r.now().Sub(r.read) > listStale {
		return false, fault.New(fault.Unavailable, "REVOCATIONS_UNKNOWN", "whether the token was revoked is not known now").Because(r.err)
	}
	_, revoked := r.known[slug(id)]
	return revoked, nil
}

// Add revokes the token with that id, which ends at expiry. When it returns nil, every replica that
// shares the store knows within two seconds.
func (r *Revocations) Add(ctx context.Context, id string, expiry time.Time) error {
	if err := r.room(ctx); err != nil {
		return err
	}
	end := expiry.Add(afterwards)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	if _, err := r.store.Write(ctx, entryName(slug(id), end), credential.Fields{revokedField: secret.FromString("1")}); err != nil {
		return fault.New(fault.Unavailable, "REVOCATIONS_AWAY", "the token could not be revoked").Because(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[slug(id)] = end
	return nil
}

func (r *Revocations) room(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh(ctx)
	if len(r.known) >= maxRevoked {
		return fault.New(fault.Unavailable, "REVOCATIONS_FULL", "no more tokens can be revoked now")
	}
	return nil
}

// refresh reads the store unless that was done within the last second. It holds the lock: whoever waits
// for it needs what it reads.
func (r *Revocations) refresh(ctx context.Context) {
	began := r.now()
	if began.Sub(r.read) < listFresh || began.Before(r.retry) {
		return
	}
	// The next caller waits for this as well: that the first one goes away must not end it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	names, err := r.store.List(ctx, revokedPrefix)
	if err != nil {
		if r.err == nil {
			r.log.WarnContext(ctx, "the list of revoked tokens cannot be read", "error", err.Error())
		}
		r.err, r.retry = err, r.now().Add(listRetry)
		return
	}
	r.read, r.err = began, nil
	r.learn(names)
}

// learn adds what the store has, and forgets what is over. What is known stays known although the store
// has it no longer: a token is never good again.
func (r *Revocations) learn(names []credential.Name) {
	for id, end := range r.known {
		if !end.After(r.read) {
			delete(r.known, id)
		}
	}
	for _, name := range names {
		if id, end, err := parseEntry(name); err == nil && end.After(r.read) {
			r.known[id] = end
		}
	}
}

// Run removes what is over until ctx ends. Every replica does, which takes no agreement: to delete what is
// gone is no error.
func (r *Revocations) Run(ctx context.Context) error {
	tick := time.NewTicker(listSweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "revoked tokens that are over stay in the store", "error", err.Error())
			}
		}
	}
}

// Sweep removes what is over, once.
func (r *Revocations) Sweep(ctx context.Context) error {
	names, err := r.store.List(ctx, revokedPrefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, end, err := parseEntry(name); err != nil || end.After(r.now()) { // what is not ours to read is not ours to delete
			continue
		}
		if err := r.store.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// slug is a digest: a jti is any text, and differs in case, which names do not.
func slug(id string) credential.Name {
	sum := sha256.Sum256([]byte(id))
	return credential.Name(hex.EncodeToString(sum[:16]))
}

func entryName(id credential.Name, end time.Time) credential.Name {
	return credential.Name(fmt.Sprintf("%s/%d-%s", revokedPrefix, end.Unix()+1, id)) // never earlier than the token
}

func parseEntry(name credential.Name) (id credential.Name, end time.Time, err error) {
	text, below := strings.CutPrefix(string(name), string(revokedPrefix)+"/")
	seconds, digest, found := strings.Cut(text, "-")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || !below || !found || len(digest) != 32 {
		return "", time.Time{}, fmt.Errorf("%s is no revocation", name)
	}
	return credential.Name(digest), time.Unix(unix, 0), nil
}
