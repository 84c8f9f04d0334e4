package authn

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

// How old an issuer's keys may be. go-oidc reads them anew when it meets one that it does not know, and
// never for any other reason: a key that the issuer withdrew, since it was stolen perhaps, would stay good.
const (
	keysFresh = 10 * time.Minute // then they are read again
	keysStale = time.Hour        // while that fails, until then the old ones are used
	keysPause = 30 * time.Second // between two attempts
)

// agedKeys are an issuer's keys as it had them not too long ago.
type agedKeys struct {
	unread func() oidc.KeySet // a set that reads the keys when it is first used
	now    func() time.Time

	mu      sync.Mutex
	current oidc.KeySet // nil: they were never read
	read    time.Time   // when they were
	next    oidc.KeySet // an unread one, which whoever needs it shares: it has one fetch for all of them
	tried   time.Time   // when it was last used
}

type outageKey struct{}

// VerifySignature implements [oidc.KeySet]. It tells keys that cannot be had from a signature that is wrong,
// which go-oidc's verifier words alike.
func (k *agedKeys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	known, unread := k.sets()
	if unread != nil {
		payload, err := unread.VerifySignature(ctx, raw)
		if !isOutage(err) {
			k.adopt(unread)
			return payload, err
		}
		if known == nil {
			return nil, outage(ctx, err)
		}
	}
	payload, err := known.VerifySignature(ctx, raw)
	if isOutage(err) {
		return nil, outage(ctx, err)
	}
	return payload, err
}

// sets returns the set that may be used still, if there is one, and an unread one where there is none or
// where it is time that one caller tries.
func (k *agedKeys) sets() (known, unread oidc.KeySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if k.current != nil && now.Sub(k.read) < keysStale {
		known = k.current
	}
	due := now.Sub(k.read) >= keysFresh && now.Sub(k.tried) >= keysPause
	if known != nil && !due {
		return known, nil
	}
	k.tried = now
	if k.next == nil {
		k.next = k.unread()
	}
	return known, k.next
}

// adopt makes a set that was read the current one.
func (k *agedKeys) adopt(set oidc.KeySet) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if set == k.next {
		k.current, k.read, k.next = set, k.now(), nil
	}
}

func isOutage(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "fetching keys") }

// outage leaves err where [userIssuer.verify] finds it.
func outage(ctx context.Context, err error) error {
	if told, ok := ctx.Value(outageKey{}).(*error); ok {
		*told = err
	}
	return err
}

const maxAnswer = 1 << 20 // of an issuer: some thousand keys

// bounded returns a client that reads a bounded answer, follows no redirect, and asks at most once in two
// seconds in the long run: go-oidc fetches keys for every token that it cannot verify, also a made-up one.
func bounded(c *http.Client) *http.Client {
	out := &http.Client{}
	if c != nil {
		*out = *c
	}
	if out.Timeout == 0 { // go-oidc starts no other fetch while one lasts
		out.Timeout = issuerTimeout
	}
	next := out.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	out.Transport = &paced{next, rate.NewLimiter(rate.Every(2*time.Second), 5)}
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return out
}

type paced struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.limit.Allow() {
		return nil, errors.New("the issuer was asked a moment ago")
	}
	res, err := p.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}
