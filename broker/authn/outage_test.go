package authn_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
)

// silent is a server that takes connections and never answers, but for the paths that have an answer.
func silent(t *testing.T, answers http.Handler, paths ...string) string {
	t.Helper()
	closing := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, path := range paths {
			if r.URL.Path == path {
				answers.ServeHTTP(w, r)
				return
			}
		}
		select {
		case <-closing:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() {
		close(closing)
		srv.Close()
	})
	return srv.URL
}

// TestAnIssuerThatHangs keeps nobody longer than one attempt takes, however many wait, and nobody longer
// than they want to wait themselves.
func TestAnIssuerThatHangs(t *testing.T) {
	const timeout, patience, callers = 2 * time.Second, 100 * time.Millisecond, 8
	url := silent(t, nil)
	users, err := authn.NewUsers(authn.Issuer{URL: url, Audience: []string{"us"}, Client: &http.Client{Timeout: timeout}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context) {
		if _, err := users.FromAccessToken(ctx, url, "e30.e30.e30"); !errors.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	}
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { ask(t.Context()) })
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ask(ctx)
			if took := time.Since(began); took >= timeout {
				t.Errorf("who wanted to wait for %s waited for %s", patience, took)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 3*timeout { // one after the other they would take sixteen
		t.Errorf("%d callers took %s", callers, took)
	}
}

// TestKeysThatHang: a client without a timeout of its own gets one, since go-oidc has one fetch for all who
// wait, and starts no other while it lasts.
func TestKeysThatHang(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the timeout, five seconds")
	}
	t.Parallel()
	p := newProvider(t)
	url := silent(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + p.URL + `","jwks_uri":"` + p.URL + `/keys"}`))
	}))
	// The provider's metadata, and its keys at a server that does not answer.
	users, err := authn.NewUsers(authn.Issuer{URL: p.URL, Audience: []string{"intercom"}, Client: &http.Client{Transport: elsewhere{"/keys", url}}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := users.FromAccessToken(t.Context(), p.URL, p.token(t, change{}))
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for ever")
	}
}

// elsewhere sends requests for one path to another server.
type elsewhere struct{ path, to string }

// RoundTrip implements [http.RoundTripper].
func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == e.path {
		moved, err := http.NewRequestWithContext(r.Context(), r.Method, e.to, nil)
		if err != nil {
			return nil, err
		}
		r = moved
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestKeysThatAreWithdrawn: what an issuer takes out of its keys, since somebody stole it perhaps, is good
// for minutes more, and not until the next key is made. While the issuer is down the last keys bridge an
// hour, and no more.
func TestKeysThatAreWithdrawn(t *testing.T) {
	p := newProvider(t)
	now := time.Now()
	users, err := authn.NewUsers(authn.Issuer{URL: p.URL, Audience: []string{"intercom"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	day := jwt.MapClaims{"exp": now.Add(24 * time.Hour).Unix()}
	verify := func(raw string) error {
		_, err := users.FromAccessToken(t.Context(), p.URL, raw)
		return err
	}
	stolen := p.token(t, change{claims: day})
	if err := verify(stolen); err != nil {
		t.Fatal(err)
	}
	p.rotate(t, "second")
	good := p.token(t, change{claims: day})
	now = now.Add(11 * time.Minute)
	if err := verify(stolen); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("of a key that was withdrawn: %v", err)
	}
	if err := verify(good); err != nil {
		t.Errorf("of the new key: %v", err)
	}
	p.down.Store(true)
	now = now.Add(30 * time.Minute)
	if err := verify(good); err != nil {
		t.Errorf("while the issuer is down: %v", err)
	}
	now = now.Add(time.Hour)
	if err := verify(good); !errors.Is(err, fault.Unavailable) {
		t.Errorf("by keys of long ago: %v", err)
	}
}

// TestManyFirstTokens come at once after a start, and when the keys are of age: one fetch serves them all.
func TestManyFirstTokens(t *testing.T) {
	p := newProvider(t)
	start := time.Now()
	var later atomic.Int64
	users, err := authn.NewUsers(authn.Issuer{URL: p.URL, Audience: []string{"intercom"}, Now: func() time.Time { return start.Add(time.Duration(later.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	raw := p.token(t, change{claims: jwt.MapClaims{"exp": start.Add(time.Hour).Unix()}})
	for round := range int64(2) {
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if _, err := users.FromAccessToken(t.Context(), p.URL, raw); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		if n := p.fetches.Load(); n < round+1 || n > 2*(round+1) { // who comes between a fetch and its end asks again
			t.Errorf("round %d: %d fetches", round, n)
		}
		later.Store(int64(11 * time.Minute))
	}
}
