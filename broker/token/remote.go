package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	maxSet       = 1 << 20          // bytes of a JWK set: some 5,000 keys
	fetchTimeout = 5 * time.Second  // of one fetch, whoever waits for it
	fetchFloor   = 10 * time.Second // between two fetches in the long run, whatever kids arrive and whatever max-age says
	fetchBurst   = 3                // fetches that may follow each other faster: replicas are replaced one after the other
	retryFloor   = time.Second      // between any two fetches
	staleLimit   = time.Hour        // for which a set is used that cannot be fetched anew
)

// Remote is a [KeySource] over the JWK set at a URL.
//
// The set is fetched anew when its max-age (10 s to 1 h; 60 s where the server names none) is over: behind
// the back of callers for as long again, before their eyes later, so that a key that was withdrawn is
// gone after twice the max-age at the latest. An unknown kid makes it fetch once more at once, three times in
// a row and then once in 10 s, so that made-up kids cost the issuer nothing. When the issuer does not
// answer, the last set is good for an hour.
type Remote struct {
	// URL is where the set is.
	URL string
	// Client fetches it; nil means one that verifies TLS with the system's roots and follows no redirects.
	Client *http.Client
	// UnsafePlaintext allows http to hosts other than loopback: whoever can change the answer on the way
	// can sign tokens.
	UnsafePlaintext bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	mu      sync.Mutex
	keys    map[string]crypto.PublicKey
	maxAge  time.Duration
	fetched time.Time     // when keys came
	tried   time.Time     // when the last fetch began
	paid    time.Time     // until when the fetches so far have used up their share of time
	failure error         // how it ended
	flight  chan struct{} // closed when the fetch under way ends; nil: none is
}

// RemoteKeys returns a Remote for the JWK set at url. A nil client means one that verifies TLS with the
// system's roots and follows no redirects.
func RemoteKeys(client *http.Client, url string) *Remote { return &Remote{URL: url, Client: client} }

func (r *Remote) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Key implements [KeySource].
func (r *Remote) Key(ctx context.Context, kid string) (crypto.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, known := r.keys[kid]
	age := r.now().Sub(r.fetched)
	switch {
	case known && age < r.maxAge:
		return key, nil
	case known && age < staleLimit && (age < 2*r.maxAge || r.failure != nil):
		r.fetch()
		return key, nil
	}
	if flight := r.fetch(); flight != nil {
		if err := r.wait(ctx, flight); err != nil {
			return nil, err
		}
	}
	return r.lookUp(kid)
}

// wait gives the lock away while the fetch is under way.
func (r *Remote) wait(ctx context.Context, flight <-chan struct{}) error {
	r.mu.Unlock()
	defer r.mu.Lock()
	select {
	case <-flight:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "", "the caller's deadline passed while keys were fetched").Because(ctx.Err())
	}
}

// lookUp answers after a fetch, or after one that came too soon. A kid that the set lacks is only unknown
// when the set is what the issuer says now.
func (r *Remote) lookUp(kid string) (crypto.PublicKey, error) {
	if key, known := r.keys[kid]; known && r.now().Sub(r.fetched) < staleLimit {
		return key, nil
	}
	if r.failure != nil {
		return nil, fault.New(fault.Unavailable, "KEYS_UNAVAILABLE", "the keys of the token's issuer cannot be fetched").Because(r.failure)
	}
	return nil, unknownKey()
}

// fetch sets off a fetch or joins the one under way, and returns nil when it is too soon for another. The
// fetch belongs to no caller: one who leaves takes it from nobody.
func (r *Remote) fetch() <-chan struct{} {
	if r.flight != nil {
		return r.flight
	}
	now := r.now()
	soon := !r.tried.IsZero() && now.Sub(r.tried) < retryFloor
	const ahead = (fetchBurst - 1) * fetchFloor
	debt := max(r.paid.Sub(now), 0)
	if soon || debt > ahead && r.failure == nil {
		return nil
	}
	r.paid = now.Add(min(debt, ahead) + fetchFloor)
	flight := make(chan struct{})
	r.flight, r.tried = flight, now
	go func() {
		keys, maxAge, err := r.get()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.flight, r.failure = nil, err; err == nil {
			r.keys, r.maxAge, r.fetched = keys, maxAge, now
		}
		close(flight)
	}()
	return flight
}

func (r *Remote) get() (map[string]crypto.PublicKey, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, 0, err
	}
	if !r.UnsafePlaintext && !trustworthy(req.URL) {
		return nil, 0, fmt.Errorf("%s is not https", req.URL.Redacted())
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client().Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answered %s", req.URL.Redacted(), resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxSet+1))
	if err == nil && len(data) > maxSet {
		err = errors.New("the JWK set is larger than 1 MiB")
	}
	if err != nil {
		return nil, 0, err
	}
	keys, err := parseSet(data)
	return keys, maxAge(resp.Header.Get("Cache-Control")), err
}

func (r *Remote) client() *http.Client {
	if r.Client != nil {
		return r.Client
	}
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// trustworthy reports whether nobody on the way can change the answer.
func trustworthy(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// maxAge reads Cache-Control (RFC 9111, section 5.2.2.1), within bounds of our own.
func maxAge(cacheControl string) time.Duration {
	age := time.Minute
	for directive := range strings.SplitSeq(cacheControl, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "max-age":
			if n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				age = time.Duration(n) * time.Second
			}
		case "no-store", "no-cache":
			return fetchFloor
		}
	}
	return min(max(age, fetchFloor), time.Hour)
}
