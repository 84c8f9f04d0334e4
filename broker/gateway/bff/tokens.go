package bff

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/broker/secret"
)

// tokenKey is all that a derived token depends on: another user's session is another key, whatever else is
// alike.
type tokenKey struct {
	session         session.Hash
	subject, how    string
	audience, scope string
}

// tokens keeps derived tokens until shortly before their end, one flight for each.
type tokens struct {
	mu      sync.Mutex
	of      map[session.Hash]*heldTokens
	flights singleflight.Group
}

// heldTokens are those of one session.
type heldTokens struct {
	kept   map[tokenKey]keptToken
	forgot time.Time // when a service did not take one
}

type keptToken struct {
	token secret.Value
	end   time.Time
}

const (
	// early is how long before its end a token is no longer sent.
	early = 30 * time.Second
	// maxHeld bounds the sessions whose tokens are kept. Over it all go: to find the oldest costs more than to
	// trade again.
	maxHeld = 50_000
	// tradeTimeout bounds one trade, whoever waits for it.
	tradeTimeout = 15 * time.Second
)

func (t *tokens) get(ctx context.Context, now time.Time, key tokenKey, trade func(context.Context) (secret.Value, time.Time, error)) (secret.Value, error) {
	t.mu.Lock()
	held := t.heldLocked(key.session).kept[key]
	t.mu.Unlock()
	if now.Add(early).Before(held.end) {
		return held.token, nil
	}
	flight := t.flights.DoChan(key.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tradeTimeout)
		defer cancel()
		token, end, err := trade(ctx)
		if err == nil {
			t.keep(key, keptToken{token, end})
		}
		return token, err
	})
	select {
	case got := <-flight:
		if got.Err != nil {
			return secret.Value{}, got.Err
		}
		return got.Val.(secret.Value), nil
	case <-ctx.Done():
		return secret.Value{}, fault.New(fault.Timeout, "", "the caller did not wait").Because(ctx.Err())
	}
}

// String is one for each key: quotes keep two apart that join alike.
func (k tokenKey) String() string {
	return fmt.Sprintf("%s %q %q %q %q", k.session, k.subject, k.how, k.audience, k.scope)
}

func (t *tokens) keep(key tokenKey, k keptToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heldLocked(key.session).kept[key] = k
}

func (t *tokens) heldLocked(hash session.Hash) *heldTokens {
	held := t.of[hash]
	if held != nil {
		return held
	}
	if t.of == nil || len(t.of) >= maxHeld {
		t.of = map[session.Hash]*heldTokens{}
	}
	held = &heldTokens{kept: map[tokenKey]keptToken{}}
	t.of[hash] = held
	return held
}

// forget drops a session's tokens, one of which a service did not take. It reports false when it has done so
// lately: a service that refuses whatever it is sent would have new ones made for each request.
func (t *tokens) forget(hash session.Hash, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := t.heldLocked(hash)
	if now.Sub(held.forgot) < lately {
		return false
	}
	held.forgot = now
	clear(held.kept)
	return true
}
