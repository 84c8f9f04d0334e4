package gateway_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/token"
)

// bound is a service in its one-line form over TLS: it takes tokens that are bound to the caller's certificate, and
// verifies them with our own verifier, as the README says.
type bound struct {
	*httptest.Server
	verifier token.Verifier
	mu       sync.Mutex
	shown    map[string]bool // the certificates
}

func newBound(t *testing.T) *bound {
	s := &bound{verifier: token.Verifier{Audience: "bound"}, shown: map[string]bool{}}
	s.Server = httptest.NewUnstartedServer(s.verifier.Handler(s))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} // of whom is in the token
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *bound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[r.TLS.PeerCertificates[0].SerialNumber.String()] = true
	claims, _ := token.FromContext(r.Context())
	_, _ = fmt.Fprint(w, claims.User.Subject)
}

func (s *bound) certificates() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shown)
}

// TestOneLineOverTLS: the gateway shows the certificate that it got the token with, also while its SVID is renewed, and
// then of requests that cannot be sent twice too.
func TestOneLineOverTLS(t *testing.T) {
	t.Parallel()
	s := newBound(t)
	trusted := filepath.Join(t.TempDir(), "service.pem")
	must(t, os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	w := newWorld(t, options{
		more:   fmt.Sprintf("  bound: { upstream: { url: %q, dial: [127.0.0.0/8] }, match: \"/bound/**\" }\n", s.URL),
		rules:  "p, group:staff, call, service/bound/**, allow\np, group:staff, exchange, audience/bound, allow\n",
		change: func(c *gateway.Config) { c.UpstreamCA = trusted },
	})
	s.verifier.Issuer, s.verifier.Keys = w.Broker.Issuer, token.RemoteKeys(nil, w.Broker.Issuer+"/oauth2/jwks")
	alice := w.person(t, 0)
	alice.Login("alice")
	csrf := alice.CSRF()
	calls := func() {
		t.Helper()
		for _, res := range []gatewaytest.Answer{alice.Fetch(http.MethodPost, "/bound/1", csrf), alice.Fetch(http.MethodGet, "/bound/1")} {
			if res.StatusCode != http.StatusOK || res.Text != "alice" {
				t.Fatalf("%s: %d %s", res.Request.Method, res.StatusCode, res.Text)
			}
		}
	}
	calls()
	for n := 2; n <= 3; n++ {
		w.Broker.Domain.Rotate()
		gatewaytest.Eventually(t, "the new certificate is shown", func() bool { calls(); return s.certificates() == n })
	}
}
