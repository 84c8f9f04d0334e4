package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/kv"
)

const (
	// keysKey is a sorted set of public keys by when they end, in ms. One key of Redis, so that a cluster has
	// it on one node.
	keysKey = "ic:jwks"
	// announce is how often a replica says that its keys still count, and announced for how long that holds:
	// longer than an assertion lives that a killed replica had signed.
	announce, announced = 20 * time.Second, 3 * time.Minute
	// keyLife is how long one key signs.
	keyLife = 24 * time.Hour
	// publishAhead is how long a key is only published where other replicas' keys are known already: the
	// provider looks for an unknown one at most every ten seconds.
	publishAhead = 15 * time.Second
)

// clientKeys are the keys with which the replicas prove themselves to the provider (private_key_jwt): each
// signs with its own, and serves the public halves of all.
type clientKeys struct {
	own   *provider.Assertions
	store *kv.Client // nil: there is no other replica
	vouch *voucher
	ready time.Time // when our first key signs
	known atomic.Bool
}

// openClientKeys makes a key and publishes it.
func openClientKeys(ctx context.Context, store *kv.Client, vouch *voucher) (*clientKeys, error) {
	k := &clientKeys{store: store, vouch: vouch}
	others, err := k.others(ctx)
	if err != nil {
		return nil, err
	}
	after := time.Duration(0)
	if len(others) > 0 {
		after = publishAhead
	}
	k.ready = time.Now().Add(after)
	k.known.Store(len(others) == 0) // a provider that knows none fetches them for the first proof
	if k.own, err = provider.NewAssertions(after, nil); err != nil {
		return nil, err
	}
	return k, k.publish(ctx)
}

// Ready returns nil when our key signs, and the provider knows it.
func (k *clientKeys) Ready() error {
	if !k.known.Load() {
		return errors.New("our key is published, and the provider does not know it yet")
	}
	return nil
}

// Run renews what is published, and the key once a day, until ctx ends.
func (k *clientKeys) Run(ctx context.Context) error {
	tick, rotate := time.NewTicker(announce), time.NewTicker(keyLife)
	defer tick.Stop()
	defer rotate.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rotate.C:
			if err := k.own.Rotate(); err != nil {
				return err
			}
		case <-tick.C:
		}
		_ = k.publish(ctx) // the store's own check says that it is away
	}
}

func (k *clientKeys) publish(ctx context.Context) error {
	if k.store == nil {
		return nil
	}
	now := time.Now()
	for _, key := range k.own.Public().Keys {
		text, err := json.Marshal(key)
		if err != nil {
			return err
		}
		add := k.store.B().Zadd().Key(keysKey).ScoreMember().ScoreMember(float64(now.Add(announced).UnixMilli()), k.vouch.sign(string(text))).Build()
		if _, err := k.store.Do(ctx, add); err != nil {
			return err
		}
	}
	_, err := k.store.DoMulti(ctx,
		k.store.B().Zremrangebyscore().Key(keysKey).Min("-inf").Max(strconv.FormatInt(now.UnixMilli(), 10)).Build(),
		k.store.B().Expire().Key(keysKey).Seconds(int64(announced/time.Second)).Build(),
	)
	return err
}

// others returns the keys that replicas have published, ours included.
func (k *clientKeys) others(ctx context.Context) (keys []jose.JSONWebKey, err error) {
	if k.store == nil {
		return nil, nil
	}
	now := strconv.FormatInt(time.Now().UnixMilli(), 10)
	got, err := k.store.Do(ctx, k.store.B().Zrangebyscore().Key(keysKey).Min(now).Max("+inf").Limit(0, maxKeys).Build())
	if err != nil {
		return nil, err
	}
	texts, err := got.AsStrSlice()
	if err != nil {
		return nil, err
	}
	for _, signed := range texts {
		var key jose.JSONWebKey
		text, ours := k.vouch.open(signed)
		if ours && json.Unmarshal([]byte(text), &key) == nil && key.Valid() && key.IsPublic() {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// maxKeys is more than there are replicas.
const maxKeys = 256

// ServeHTTP is the client's jwks_uri (RFC 7591, section 2). While the store is away it has our own keys.
func (k *clientKeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	set := k.own.Public()
	others, _ := k.others(r.Context())
	for _, key := range others {
		if len(set.Key(key.KeyID)) == 0 {
			set.Keys = append(set.Keys, key)
		}
	}
	body, err := json.Marshal(set)
	if err != nil {
		fault.WriteProblem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "max-age=10")
	_, _ = w.Write(body)
}
