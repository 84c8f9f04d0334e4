package token_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

// issuerSet is a JWKS endpoint as an http.RoundTripper, so that time can be a bubble's.
type issuerSet struct {
	mu      sync.Mutex
	body    []byte
	status  int
	header  http.Header
	err     error
	slow    time.Duration
	fetches int
}

func (s *issuerSet) serve(body []byte, maxAge string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body, s.status, s.err, s.slow = body, http.StatusOK, nil, 0
	s.header = http.Header{"Cache-Control": {maxAge}}
}

func (s *issuerSet) fail(err error, status int, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.status, s.slow = err, status, slow
}

func (s *issuerSet) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func (s *issuerSet) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.fetches++
	body, status, header, err, slow := s.body, s.status, s.header, s.err, s.slow
	s.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

// ringSet returns the set of a new keyring and the kid in it.
func ringSet(t *testing.T) (set []byte, kid string) {
	t.Helper()
	ring, _ := newRing(t, keyring.EdDSA)
	set, _ = ring.JWKS()
	var parsed jose.JSONWebKeySet
	mustDecode(t, set, &parsed)
	return set, parsed.Keys[0].KeyID
}

func newRemote(t *testing.T, maxAge string) (*issuerSet, *token.Remote, string) {
	t.Helper()
	set, kid := ringSet(t)
	s := &issuerSet{}
	s.serve(set, maxAge)
	return s, token.RemoteKeys(&http.Client{Transport: s}, "https://intercom.test/oauth2/jwks"), kid
}

func wantKey(t *testing.T, r *token.Remote, kid string) {
	t.Helper()
	if key, err := r.Key(t.Context(), kid); err != nil || key == nil {
		t.Fatalf("key %s: %v", kid, err)
	}
}

func wantNoKey(t *testing.T, r *token.Remote, kid string, kind fault.Kind) {
	t.Helper()
	if _, err := r.Key(t.Context(), kid); !errors.Is(err, kind) {
		t.Fatalf("key %s: %v, want %v", kid, err, kind)
	}
}

func (s *issuerSet) wantFetches(t *testing.T, n int) {
	t.Helper()
	synctest.Wait()
	if got := s.count(); got != n {
		t.Fatalf("%d fetches, want %d", got, n)
	}
}

func TestRemoteKeepsForMaxAge(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": time.Minute, "max-age=120": 2 * time.Minute, `public, Max-Age="30"`: 30 * time.Second, "max-age=0": 10 * time.Second,
		"max-age=1000000": time.Hour, "no-store": 10 * time.Second, "max-age=-5": time.Minute, "max-age": time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			set, r, kid := newRemote(t, header)
			wantKey(t, r, kid)
			time.Sleep(want - 1)
			wantKey(t, r, kid)
			set.wantFetches(t, 1)
			time.Sleep(1)
			wantKey(t, r, kid) // at once, and fetches behind the caller's back
			set.wantFetches(t, 2)
		})
	}
}

// TestUnknownKid: replicas that start one soon after the other are all found by their first token.
func TestUnknownKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, kid := newRemote(t, "max-age=3600")
		wantKey(t, r, kid)
		for n := range 2 {
			time.Sleep(time.Second)
			next, nextKid := ringSet(t)
			set.serve(next, "max-age=3600")
			wantKey(t, r, nextKid)
			wantNoKey(t, r, kid, fault.NotFound) // it was withdrawn
			set.wantFetches(t, n+2)
		}
	})
}

// TestMadeUpKids: they cost the issuer a fetch in ten seconds, and a new key is found after those at the latest.
func TestMadeUpKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, kid := newRemote(t, "max-age=3600")
		wantKey(t, r, kid)
		for range 1000 {
			wantNoKey(t, r, "made up", fault.NotFound)
			time.Sleep(100 * time.Millisecond)
		}
		if n := set.count(); n > 3+10 {
			t.Errorf("%d fetches in 100 s", n)
		}
		next, nextKid := ringSet(t)
		set.serve(next, "max-age=3600")
		time.Sleep(10 * time.Second)
		wantKey(t, r, nextKid)
	})
}

// TestStaleIfError: the issuer goes away; the last set is good for an hour, and nobody waits but the first.
func TestStaleIfError(t *testing.T) {
	for what, fail := range map[string]func(*issuerSet){
		"refused": func(s *issuerSet) { s.fail(errors.New("refused"), 0, 0) },
		"hangs":   func(s *issuerSet) { s.fail(nil, http.StatusOK, time.Hour) },
		"503":     func(s *issuerSet) { s.fail(nil, http.StatusServiceUnavailable, 0) },
		"empty":   func(s *issuerSet) { s.serve([]byte(`{"keys":[]}`), "") },
		"no set":  func(s *issuerSet) { s.serve([]byte(`<html>`), "") },
		"huge":    func(s *issuerSet) { s.serve(append(bytes.Clone(s.body), bytes.Repeat([]byte(" "), 1<<20)...), "") },
	} {
		synctest.Test(t, func(t *testing.T) {
			set, r, kid := newRemote(t, "max-age=60")
			wantKey(t, r, kid)
			fail(set)
			waited := time.Duration(0)
			for begin := time.Now(); time.Since(begin) < 59*time.Minute; time.Sleep(30 * time.Second) {
				asked := time.Now()
				wantKey(t, r, kid)
				waited += time.Since(asked)
			}
			if waited > 0 {
				t.Errorf("%s: callers waited %v in all", what, waited)
			}
			wantNoKey(t, r, "made up", fault.Unavailable)
			time.Sleep(2 * time.Minute)
			wantNoKey(t, r, kid, fault.Unavailable)
			if n := set.count(); n > 130 {
				t.Errorf("%s: %d fetches in an hour", what, n)
			}
			next, nextKid := ringSet(t)
			set.serve(next, "")
			time.Sleep(10 * time.Second)
			wantKey(t, r, nextKid)
		})
	}
}

// TestOutageCostsNothingLater: its many fetches are not held against a key that comes after it.
func TestOutageCostsNothingLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, _ := newRemote(t, "max-age=3600")
		set.fail(errors.New("refused"), 0, 0)
		for range 60 {
			wantNoKey(t, r, "made up", fault.Unavailable)
			time.Sleep(time.Second)
		}
		for range 2 {
			next, kid := ringSet(t)
			set.serve(next, "max-age=3600")
			wantKey(t, r, kid)
			time.Sleep(10 * time.Second)
		}
	})
}

// TestIdleVerifierFetchesFirst: nobody asked for a while, and in that time the key was withdrawn.
func TestIdleVerifierFetchesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, kid := newRemote(t, "max-age=60")
		wantKey(t, r, kid)
		next, _ := ringSet(t)
		set.serve(next, "max-age=60")
		time.Sleep(2 * time.Minute)
		wantNoKey(t, r, kid, fault.NotFound)
	})
}

func TestRemoteOneFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, kid := newRemote(t, "")
		set.fail(nil, http.StatusOK, time.Second)
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Key(first, kid); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who left: %v", err)
			}
		})
		for range 50 {
			wg.Go(func() {
				if _, err := r.Key(t.Context(), kid); err != nil {
					t.Errorf("one who stayed: %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
		set.wantFetches(t, 1)
	})
}

func TestFirstFetchIsTriedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, r, kid := newRemote(t, "")
		set.fail(errors.New("not up yet"), 0, 0)
		for range 10 {
			wantNoKey(t, r, kid, fault.Unavailable)
		}
		set.wantFetches(t, 1)
		set.fail(nil, http.StatusOK, 0)
		time.Sleep(time.Second)
		wantKey(t, r, kid)
	})
}

func TestPlaintext(t *testing.T) {
	for url, good := range map[string]bool{
		"http://intercom.test/jwks": false, "http://127.0.0.1:1/jwks": true, "http://[::1]:1/jwks": true, "http://localhost/jwks": true,
		"https://intercom.test/jwks": true, "http://127.0.0.1.intercom.test/jwks": false, "ftp://localhost/jwks": false, "://": false, "": false,
	} {
		set, _, kid := newRemote(t, "")
		r := token.RemoteKeys(&http.Client{Transport: set}, url)
		if _, err := r.Key(t.Context(), kid); (err == nil) != good || !good && !errors.Is(err, fault.Unavailable) {
			t.Errorf("%s: %v", url, err)
		}
		if r = token.RemoteKeys(&http.Client{Transport: set}, url); strings.HasPrefix(url, "http:") {
			r.UnsafePlaintext = true
			wantKey(t, r, kid)
		}
	}
}

// TestNoRedirects uses the client that nil means, against a server that sends it elsewhere.
func TestNoRedirects(t *testing.T) {
	set, kid := ringSet(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	mux.Handle("/moved", http.RedirectHandler("/jwks", http.StatusFound))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	wantKey(t, token.RemoteKeys(nil, srv.URL+"/jwks"), kid)
	wantNoKey(t, token.RemoteKeys(nil, srv.URL+"/moved"), kid, fault.Unavailable)
}

// FuzzRemoteSet: whatever the issuer's endpoint answers, the keys that come out of it are such as our
// tokens are signed with, and public.
func FuzzRemoteSet(f *testing.F) {
	for _, key := range []string{
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k"}`,
		`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k"}`,
		`{"kty":"oct","k":"c2VjcmV0","kid":"k"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k"}`, `{"kty":"new","kid":"k"}`, `null`, `1`,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","use":"enc"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k","alg":"HS256"}`,
	} {
		f.Add([]byte(fmt.Sprintf(`{"keys":[%s]}`, key)))
		f.Add([]byte(fmt.Sprintf(`{"keys":[{"kty":"new"},%s,%s]}`, key, key)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set := &issuerSet{}
		set.serve(body, "")
		key, err := token.RemoteKeys(&http.Client{Transport: set}, "https://intercom.test/jwks").Key(t.Context(), "k")
		if err != nil {
			return
		}
		jwk := jose.JSONWebKey{Key: key}
		if !jwk.Valid() || !jwk.IsPublic() || bytes.Contains(body, []byte(`"RSA"`)) && !bytes.Contains(body, []byte(`"kty":"`)) {
			t.Errorf("%T came out of %s", key, body)
		}
		if _, secret := key.([]byte); secret {
			t.Errorf("a secret came out of %s", body)
		}
	})
}

// TestForeignKeysOfASet: what we do not understand is passed over, and what is not for signing is not used.
func TestForeignKeysOfASet(t *testing.T) {
	const x = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	const d = `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"`
	set := &issuerSet{}
	set.serve([]byte(`{"keys":[{"kty":"new","kid":"new"},1,{`+x+`,"kid":"good"},{`+x+`,"kid":"enc","use":"enc"},{`+x+`,"kid":"alg","alg":"HS256"},
		{`+x+`,`+d+`,"kid":"private"},{"kty":"oct","k":"c2VjcmV0","kid":"oct"},{"kty":"RSA","n":"`+strings.Repeat("A", 342)+`","e":"AQAB","kid":"rsa"},{`+x+`}]}`), "")
	r := token.RemoteKeys(&http.Client{Transport: set}, "https://intercom.test/jwks")
	wantKey(t, r, "good")
	for _, kid := range []string{"new", "enc", "alg", "private", "oct", "rsa", ""} {
		wantNoKey(t, r, kid, fault.NotFound)
	}
}
