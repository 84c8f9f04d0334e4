package inject_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/egress/inject"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
)

const clientSecret = "hunter2+correct horse"

// server is a service's authorization server, over TLS, with a clock that the tests move.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	asked  int
	forms  []url.Values
	basics []string
	answer func(w http.ResponseWriter, n int)
	offset atomic.Int64
	log    bytes.Buffer
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{answer: func(w http.ResponseWriter, n int) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"bearer","expires_in":300}`, n)
	}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		id, key, _ := r.BasicAuth()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		s.forms, s.basics = append(s.forms, r.PostForm), append(s.basics, id+":"+key)
		s.answer(w, s.asked)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *server) set(answer func(w http.ResponseWriter, n int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *server) pass(d time.Duration) { s.offset.Add(int64(d)) }

func (s *server) tokens(t *testing.T, how service.OAuth2) *inject.Tokens {
	t.Helper()
	u, err := url.Parse(s.URL + "/token?tenant=x")
	if err != nil {
		t.Fatal(err)
	}
	how.TokenURL = u
	return inject.NewTokens(&how, inject.TokensConfig{
		Transport: s.Client().Transport, Now: func() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) },
		Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
}

func client(version uint64) credential.Credential {
	return credential.Credential{Name: "crm/client", Version: version, Fields: fields("client_id", "crm client", "client_secret", clientSecret)}
}

// wantToken asks and compares.
func wantToken(t *testing.T, tokens *inject.Tokens, version uint64, want string) {
	t.Helper()
	got, err := tokens.Get(t.Context(), client(version))
	if err != nil || string(got.Reveal()) != want {
		t.Fatalf("%q, %v, want %q", got.Reveal(), err, want)
	}
}

func TestTokenRequest(t *testing.T) {
	s := newServer(t)
	basic := s.tokens(t, service.OAuth2{Scope: []string{"r", "w"}, Audience: "crm", Resource: []string{"https://a", "https://b"}, Params: map[string]string{"p": "q"}})
	wantToken(t, basic, 1, "token-1")
	post := s.tokens(t, service.OAuth2{Post: true})
	wantToken(t, post, 1, "token-2")
	want := []url.Values{
		{"grant_type": {"client_credentials"}, "scope": {"r w"}, "audience": {"crm"}, "resource": {"https://a", "https://b"}, "p": {"q"}},
		{"grant_type": {"client_credentials"}, "client_id": {"crm client"}, "client_secret": {clientSecret}},
	}
	if diff := cmp.Diff(want, s.forms); diff != "" {
		t.Error(diff)
	}
	// RFC 6749, section 2.3.1: both are form-encoded before they are put into Basic.
	if diff := cmp.Diff([]string{"crm+client:hunter2%2Bcorrect+horse", ":"}, s.basics); diff != "" {
		t.Error(diff)
	}
}

func TestOneFlightForAll(t *testing.T) {
	s := newServer(t)
	let := make(chan struct{})
	s.set(func(w http.ResponseWriter, n int) {
		<-let
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":300}`, n)
	})
	tokens := s.tokens(t, service.OAuth2{})
	// One gives up: that must not be the end of the flight for the others.
	gone, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := tokens.Get(gone, client(1))
		first <- err
	}()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := tokens.Get(t.Context(), client(1)); err != nil || string(got.Reveal()) != "token-1" {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
	cancel()
	if err := <-first; !errors.Is(err, fault.Timeout) {
		t.Errorf("who gave up got %v", err)
	}
	close(let)
	all.Wait()
	if n := s.questions(); n != 1 {
		t.Errorf("%d questions", n)
	}
}

func TestTokenIsRenewedAheadAndByVersion(t *testing.T) {
	s := newServer(t)
	tokens := s.tokens(t, service.OAuth2{})
	wantToken(t, tokens, 1, "token-1")
	wantToken(t, tokens, 1, "token-1")
	s.pass(201 * time.Second) // two thirds of 300 s
	wantToken(t, tokens, 1, "token-1")
	eventually(t, "renewal behind the caller", func() bool {
		got, err := tokens.Get(t.Context(), client(1))
		return err == nil && string(got.Reveal()) == "token-2"
	})
	wantToken(t, tokens, 2, "token-3")
	rewritten := client(2)
	rewritten.Fields = fields("client_id", "crm", "client_secret", "another")
	if got, err := tokens.Get(t.Context(), rewritten); err != nil || string(got.Reveal()) != "token-4" {
		t.Errorf("the same number, another credential: %q, %v", got.Reveal(), err)
	}
	s.pass(time.Hour)
	if got, err := tokens.Get(t.Context(), rewritten); err != nil || string(got.Reveal()) != "token-5" {
		t.Errorf("after its end: %q, %v", got.Reveal(), err)
	}
}

// TestDoubt holds that only the token in question goes.
func TestDoubt(t *testing.T) {
	s := newServer(t)
	tokens := s.tokens(t, service.OAuth2{})
	wantToken(t, tokens, 1, "token-1")
	tokens.Doubt(secret.FromString("token-0"))
	wantToken(t, tokens, 1, "token-1")
	tokens.Doubt(secret.FromString("token-1"))
	wantToken(t, tokens, 1, "token-2")
}

// TestOutage holds that a token is used to its end while its server is away, which is asked once in a second,
// and that nothing is served after.
func TestOutage(t *testing.T) {
	s := newServer(t)
	tokens := s.tokens(t, service.OAuth2{})
	wantToken(t, tokens, 1, "token-1")
	s.set(func(w http.ResponseWriter, _ int) { http.Error(w, "down for "+clientSecret, http.StatusBadGateway) })
	s.pass(201 * time.Second)
	wantToken(t, tokens, 1, "token-1")
	eventually(t, "a question", func() bool { return s.questions() == 2 })
	s.pass(70 * time.Second) // 271 of 300: within the margin
	for range 3 {
		_, err := tokens.Get(t.Context(), client(1))
		checkRefusal(t, err, inject.ReasonTokenEndpoint)
	}
	if n := s.questions(); n > 4 {
		t.Errorf("%d questions in a second", n)
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("the log says %s", s.log.String())
	}
}

func checkRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	e := fault.From(err)
	if err == nil || e.Kind != fault.Unavailable || e.Reason != reason {
		t.Errorf("got %v, want %s", err, reason)
	}
	if text := fmt.Sprintf("%v %+v %s", err, err, e.Message); strings.Contains(text, "hunter2") || strings.Contains(text, "127.0.0.1:") {
		t.Errorf("it says %s", text)
	}
}

func TestTokenRefusals(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for name, test := range map[string]struct {
		status       int
		kind, answer string
		reason, logs string
	}{
		"a bad client":        {400, "application/json", `{"error":"invalid_client","error_description":"hunter2"}`, inject.ReasonTokenRefused, "status 400, invalid_client"},
		"a code of its own":   {401, "application/json", `{"error":"hunter2"}`, inject.ReasonTokenRefused, "status 401, no error code"},
		"an error with 200":   {200, "application/json", `{"error":"invalid_scope"}`, inject.ReasonTokenRefused, "status 200, invalid_scope"},
		"a page":              {403, "text/html", `<h1>hunter2</h1>`, inject.ReasonTokenRefused, "status 403, no error code"},
		"a redirect":          {302, "text/html", ``, inject.ReasonTokenRefused, "status 302, no error code"},
		"a server's error":    {500, "application/json", `{"error":"hunter2"}`, inject.ReasonTokenEndpoint, "status 500"},
		"too many":            {429, "application/json", `{}`, inject.ReasonTokenEndpoint, "status 429"},
		"no JSON":             {200, "application/json", `{"hunter2`, inject.ReasonTokenEndpoint, "no token response"},
		"no token":            {200, "application/json", `{"token_type":"Bearer"}`, inject.ReasonTokenEndpoint, "no token response"},
		"a token of a sort":   {200, "application/json", `{"access_token":"hunter2","token_type":"DPoP"}`, inject.ReasonTokenRefused, "not Bearer"},
		"a token that splits": {200, "application/json", `{"access_token":"hunter2\r\nX-Admin: 1","token_type":"Bearer"}`, inject.ReasonTokenRefused, "must not stand"},
		"a token of 17 KiB":   {200, "application/json", `{"access_token":"` + long[:17<<10] + `","token_type":"Bearer"}`, inject.ReasonTokenRefused, "too long"},
		"an answer of 2 MiB":  {200, "application/json", `{"access_token":"` + long + `","token_type":"Bearer"}`, inject.ReasonTokenEndpoint, "no token response"},
		"an expired token":    {200, "application/json", `{"access_token":"hunter2","token_type":"Bearer","expires_in":-1}`, inject.ReasonTokenRefused, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			elsewhere := newServer(t)
			s.set(func(w http.ResponseWriter, _ int) {
				w.Header().Set("Content-Type", test.kind)
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			})
			_, err := s.tokens(t, service.OAuth2{}).Get(t.Context(), client(1))
			checkRefusal(t, err, test.reason)
			if err != nil && !strings.Contains(err.Error(), test.logs) {
				t.Errorf("the log gets %v, want %s", err, test.logs)
			}
			if elsewhere.questions() != 0 {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestTokenNeedsVerifiedTLS(t *testing.T) {
	s := newServer(t)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	tokens := inject.NewTokens(&service.OAuth2{TokenURL: u}, inject.TokensConfig{Transport: &http.Transport{}})
	_, err = tokens.Get(t.Context(), client(1))
	checkRefusal(t, err, inject.ReasonTokenEndpoint)
	if s.questions() != 0 {
		t.Error("the secret was sent")
	}
}

func TestTokenWithoutClient(t *testing.T) {
	s := newServer(t)
	for _, f := range []credential.Fields{fields("client_id", "a"), fields("client_secret", "b"), fields("username", "c")} {
		_, err := s.tokens(t, service.OAuth2{}).Get(t.Context(), credential.Credential{Fields: f})
		if fault.From(err).Reason != inject.ReasonUnusable {
			t.Errorf("%q: %v", f.Names(), err)
		}
	}
}

// TestUnstatedLife: a token whose life nobody says is used for five minutes, less the margin.
func TestUnstatedLife(t *testing.T) {
	s := newServer(t)
	s.set(func(w http.ResponseWriter, n int) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d"}`, n)
	})
	tokens := s.tokens(t, service.OAuth2{})
	wantToken(t, tokens, 1, "token-1")
	s.pass(199 * time.Second)
	wantToken(t, tokens, 1, "token-1")
	s.pass(72 * time.Second)
	wantToken(t, tokens, 1, "token-2")
}

// FuzzTokenAnswer holds that whatever an authorization server answers, what comes of it can stand in a header,
// and the failure says nothing of it.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"token","token_type":"Bearer","expires_in":300}`)
	f.Add(200, "application/x-www-form-urlencoded", `access_token=a%0d%0a&expires_in=9`)
	f.Add(400, "application/json", `{"error":"invalid_client"}`)
	f.Add(200, "", `{"access_token":"token","expires_in":"1e99"}`)
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		body = strings.ReplaceAll(body, "token", "canary7")
		u := &url.URL{Scheme: "https", Host: "a.test"}
		tokens := inject.NewTokens(&service.OAuth2{TokenURL: u}, inject.TokensConfig{Transport: canned(func() *http.Response {
			return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
		})})
		token, err := tokens.Get(t.Context(), client(1))
		if err != nil {
			if strings.Contains(err.Error(), "canary7") {
				t.Fatalf("it says %v", err)
			}
			return
		}
		h := http.Header{}
		if err := inject.Bearer(h, token); err != nil {
			t.Fatalf("%q: %v", token.Reveal(), err)
		}
		checkWire(t, h)
	})
}

type canned func() *http.Response

func (c canned) RoundTrip(*http.Request) (*http.Response, error) { return c(), nil }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
