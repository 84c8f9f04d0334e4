package redis

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/kv"
)

// tryAgain is how often a trial is made, whoever asks: an access list or a full memory changes rarely. One that failed is
// made again at once, so that the end of it is seen.
const tryAgain = 3 * time.Second

// trial is the last one. It is of a session that nobody has.
type trial struct {
	mu   sync.Mutex
	of   session.Hash
	good time.Time
}

// Ready reports whether a request would find what it needs: the server answers, and, looked at every few seconds, a session
// is read and a lock is written, by the commands and to the keys of each request. An error for which [kv.ReadOnly] holds
// is about the second alone.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.kv.Ping(ctx); err != nil {
		return err
	}
	t := &s.tried
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := s.now(); !t.good.IsZero() && now.Sub(t.good) < tryAgain {
		return nil
	}
	if t.of == (session.Hash{}) {
		_, _ = rand.Read(t.of[:]) // never fails
	}
	if _, err := s.kv.Do(ctx, s.kv.B().Get().Key(s.session(t.of)).Build()); err != nil && !kv.IsNil(err) {
		return err
	}
	if _, err := s.kv.Run(ctx, s.scripts.lock, []string{s.lock(t.of)}, []string{"ready", ms(tryAgain)}); err != nil {
		return err
	}
	t.good = s.now()
	return nil
}
