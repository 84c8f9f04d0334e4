package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	// keysAge is when keys are fetched again unasked: one that the provider took back is not believed for
	// longer, while it answers.
	keysAge = 5 * time.Minute
	// keysStale is how long keys are believed when it does not.
	keysStale = 24 * time.Hour
	// maxKeys is more than any set that is meant well.
	maxKeys = 64
)

// reasonKeys is that of a token that cannot be verified now.
const reasonKeys = "PROVIDER_KEYS"

// keys is the provider's JWK set. go-oidc has one too, which fetches for every signature that it cannot
// verify: whoever sends nonsense to the logout endpoint would have us flood the provider. Here one fetch is
// under way at a time, and a kid that is unknown sets off at most one in an interval (OpenID Connect Core 1.0,
// section 10.1.1). One that comes too soon waits for it: a provider signs with a new key as soon as it has one,
// and a logout token is sent once.
type keys struct {
	url      string
	interval time.Duration
	fetch    func(context.Context, string) (answer, error)
	now      func() time.Time

	mu      sync.Mutex
	set     []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	failure error
	flight  chan struct{} // closed when the fetch under way ends
}

func newKeys(url string, interval time.Duration, fetch func(context.Context, string) (answer, error), now func() time.Time) *keys {
	return &keys{url: url, interval: interval, fetch: fetch, now: now}
}

// verify returns the payload of a token. The algorithm was checked by the caller against what is allowed; here it must be the
// key's too.
func (k *keys) verify(ctx context.Context, raw string) ([]byte, error) {
	algs := make([]jose.SignatureAlgorithm, 0, len(asymmetric()))
	for _, alg := range asymmetric() {
		algs = append(algs, jose.SignatureAlgorithm(alg))
	}
	jws, err := jose.ParseSignedCompact(raw, algs)
	if err != nil || len(jws.Signatures) != 1 {
		return nil, fmt.Errorf("not one signature: %w", err)
	}
	header := jws.Signatures[0].Protected
	key, err := k.find(ctx, header)
	if err != nil {
		return nil, err
	}
	return jws.Verify(key)
}

// unknownKeyError is about a token that names a key which the provider does not publish.
type unknownKeyError struct{}

// Error implements error.
func (*unknownKeyError) Error() string { return "the provider publishes no such key" }

// find returns the key that a header names. Without a kid there must be no choice.
func (k *keys) find(ctx context.Context, h jose.Header) (*jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := k.now().Sub(k.fetched)
	if key := k.lookUp(h); key != nil && age < keysStale {
		if age > keysAge {
			k.start()
		}
		return key, nil
	}
	if k.failure == nil || k.pause() == 0 {
		flight := k.start()
		k.mu.Unlock()
		err := wait(ctx, flight)
		k.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
	if key := k.lookUp(h); key != nil && k.now().Sub(k.fetched) < keysStale {
		return key, nil
	}
	if k.failure != nil || k.fetched.IsZero() {
		return nil, fault.New(fault.Unavailable, reasonKeys, "the login provider's keys cannot be fetched").Because(k.failure)
	}
	return nil, &unknownKeyError{}
}

func wait(ctx context.Context, flight <-chan struct{}) error {
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "", "the caller left while keys were fetched").Because(ctx.Err())
	}
}

func (k *keys) lookUp(h jose.Header) (found *jose.JSONWebKey) {
	for i := range k.set {
		key := &k.set[i]
		if h.KeyID != "" && key.KeyID != h.KeyID || key.Algorithm != "" && key.Algorithm != h.Algorithm {
			continue
		}
		if found != nil {
			return nil
		}
		found = key
	}
	return found
}

// pause is how long it is until the next fetch may be.
func (k *keys) pause() time.Duration {
	if k.tried.IsZero() {
		return 0
	}
	return max(0, k.interval-k.now().Sub(k.tried))
}

// start sets off a fetch, when it may be, or joins the one under way. The fetch belongs to no caller: one who
// leaves takes it from nobody.
func (k *keys) start() <-chan struct{} {
	if k.flight != nil {
		return k.flight
	}
	flight := make(chan struct{})
	k.flight = flight
	go k.fly(flight, k.pause())
	return flight
}

func (k *keys) fly(flight chan<- struct{}, pause time.Duration) {
	<-time.After(pause)
	began := k.now()
	set, err := k.get()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried = began
	if k.flight, k.failure = nil, err; err == nil {
		k.set, k.fetched = set, began
	}
	close(flight)
}

func (k *keys) get() ([]jose.JSONWebKey, error) {
	got, err := k.fetch(context.Background(), k.url) // bounded by the client's own timeout
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", k.url, got.status)
	}
	return parseKeys(got.body)
}

// parseKeys leaves out what does not verify signatures, and what we do not understand (RFC 7517, section 5).
func parseKeys(data []byte) (set []jose.JSONWebKey, err error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the JWK set cannot be read: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("a JWK set of %d keys", len(raw.Keys))
	}
	for _, one := range raw.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(one, &key) != nil || !key.IsPublic() || !key.Valid() || key.Use != "" && key.Use != "sig" {
			continue
		}
		if key.Algorithm != "" && !slices.Contains(asymmetric(), key.Algorithm) {
			continue
		}
		set = append(set, key)
	}
	return set, nil
}
