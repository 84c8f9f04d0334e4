package token_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/intercom-broker/intercom/broker/keyring"
	"github.com/intercom-broker/intercom/broker/token"
)

func whoami(w http.ResponseWriter, r *http.Request) {
	c, ok := token.FromContext(r.Context())
	if !ok {
		http.Error(w, "no claims", http.StatusTeapot)
		return
	}
	_, _ = io.WriteString(w, c.Subject)
}

// TestHandler holds status and challenge to RFC 6750, section 3.
func TestHandler(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	c := claims()
	good := mint(t, ring, c)
	c.IssuedAt, c.Expiry = c.IssuedAt.Add(-time.Hour), c.IssuedAt.Add(-time.Hour+time.Minute)
	old := mint(t, ring, c)
	c = claims()
	c.Confirmation = strings.Repeat("A", 43)
	bound := mint(t, ring, c)
	for what, want := range map[string]struct {
		values []string
		status int
		hint   string
	}{
		"good":            {[]string{"Bearer " + good}, 200, ""},
		"scheme in lower": {[]string{"bearer " + good}, 200, ""},
		"more blanks":     {[]string{"Bearer   " + good}, 200, ""},
		"none":            {nil, 401, `Bearer realm="inventory"`},
		"empty":           {[]string{""}, 401, `Bearer realm="inventory"`},
		"another scheme":  {[]string{"Basic eDp5"}, 401, `Bearer realm="inventory"`},
		"only the scheme": {[]string{"Bearer"}, 401, `Bearer realm="inventory"`},
		"two":             {[]string{"Bearer " + good, "Bearer " + good}, 400, `error="invalid_request"`},
		"nonsense":        {[]string{"Bearer x"}, 401, `error="invalid_token"`},
		"two in one":      {[]string{"Bearer " + good + ", Bearer " + good}, 401, `error="invalid_token"`},
		"expired":         {[]string{"Bearer " + old}, 401, `error_description="the token has expired"`},
		"bound":           {[]string{"Bearer " + bound}, 401, `error="invalid_token"`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?access_token="+good, nil)
		r.Header["Authorization"] = want.values
		w := httptest.NewRecorder()
		v.Handler(http.HandlerFunc(whoami)).ServeHTTP(w, r)
		challenge := w.Header().Get("WWW-Authenticate")
		switch {
		case w.Code != want.status || want.status == 200 && w.Body.String() != orders:
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		case !strings.Contains(challenge, want.hint) || want.status == 200 && challenge != "":
			t.Errorf("%s: challenge %s", what, challenge)
		case strings.HasPrefix(want.hint, "Bearer") && challenge != want.hint:
			t.Errorf("%s: a request without a token learns more than it asked: %s", what, challenge)
		case want.status != 200 && strings.Contains(w.Body.String()+challenge, strings.Split(good, ".")[1]):
			t.Errorf("%s: the answer holds the token", what)
		}
	}
}

func TestHandlerWithoutKeys(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	v.Keys = away{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+mint(t, ring, claims()))
	w := httptest.NewRecorder()
	v.Handler(http.HandlerFunc(whoami)).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestRequireScope(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	c := claims()
	c.Scope = []string{"read", "readwrite"}
	raw := mint(t, ring, c)
	for scope, want := range map[string]int{"read": 200, "write": 403, "readw": 403, "": 403, `a"b`: 403} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+raw)
		w := httptest.NewRecorder()
		v.Handler(token.RequireScope(scope, http.HandlerFunc(whoami))).ServeHTTP(w, r)
		challenge := w.Header().Get("WWW-Authenticate")
		if w.Code != want || want == 403 && (!strings.Contains(challenge, `error="insufficient_scope"`) || strings.Contains(challenge, `a"b`)) {
			t.Errorf("%q: %d %s", scope, w.Code, challenge)
		}
	}
	w := httptest.NewRecorder()
	token.RequireScope("read", http.HandlerFunc(whoami)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("without a Verifier before it: %d", w.Code)
	}
}

// TestBoundOverTLS makes real connections, with the certificate that the token names, another, and none.
func TestBoundOverTLS(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	mine, key := certificate(t)
	other, otherKey := certificate(t)
	c := claims()
	c.Confirmation = token.Thumbprint(mine)
	raw := mint(t, ring, c)
	srv := httptest.NewUnstartedServer(v.Handler(http.HandlerFunc(whoami)))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	srv.StartTLS()
	defer srv.Close()
	for what, cert := range map[string]tls.Certificate{
		"its own": {Certificate: [][]byte{mine.Raw}, PrivateKey: key}, "another": {Certificate: [][]byte{other.Raw}, PrivateKey: otherKey}, "none": {},
	} {
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS13,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		}}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+raw)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		client.CloseIdleConnections()
		if good := what == "its own"; (resp.StatusCode == 200) != good || !good && resp.StatusCode != 401 {
			t.Errorf("%s: %s", what, resp.Status)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	ring, v := newRing(t, keyring.ES256)
	cert, _ := certificate(t)
	c := claims()
	c.Confirmation = token.Thumbprint(cert)
	bound := mint(t, ring, c)
	call := func(peerCert *x509.Certificate, values ...string) (context.Context, error) {
		md := metadata.MD{"authorization": values}
		ctx := metadata.NewIncomingContext(t.Context(), md)
		if peerCert != nil {
			state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{peerCert}}
			ctx = peer.NewContext(ctx, &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
		}
		return v.Authenticate(ctx)
	}
	ctx, err := call(cert, "Bearer "+bound)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := token.FromContext(ctx); !ok || got.Subject != orders {
		t.Errorf("claims %v", got)
	}
	for what, try := range map[string]func() (context.Context, error){
		"no certificate": func() (context.Context, error) { return call(nil, "Bearer "+bound) },
		"no token":       func() (context.Context, error) { return call(cert) },
		"nonsense":       func() (context.Context, error) { return call(cert, "Bearer x") },
	} {
		if ctx, err := try(); status.Code(err) != codes.Unauthenticated || ctx != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := call(cert, "Bearer "+bound, "Bearer "+bound); status.Code(err) != codes.InvalidArgument {
		t.Errorf("two tokens: %v", err)
	}
}

// TestLight holds the promise that any service can import this package: no store, no signer, no policy
// engine and no gRPC server comes with it.
func TestLight(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %s", exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	const ours = "github.com/intercom-broker/intercom/"
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		rest, own := strings.CutPrefix(dep, ours)
		light := rest == "broker/token" || rest == "broker/fault" || rest == "broker/secret"
		if own && !light || dep == "google.golang.org/grpc" || strings.Contains(dep, "casbin") || strings.Contains(dep, "prometheus") {
			t.Errorf("links %s", dep)
		}
	}
}
