package providertest

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
)

// path is where the issuer stands on its listener: not at the root, as it seldom is.
const path = "/realms/demo"

// Server is a provider that can be broken.
type Server struct {
	*openid.Provider
	http *httptest.Server

	mu     sync.Mutex
	faults map[string]Fault
	calls  []Call
	closed chan struct{}
}

// New starts a provider on loopback, which ends with the test. The issuer in cfg is filled in.
func New(t testing.TB, cfg openid.Config) *Server {
	t.Helper()
	s := &Server{faults: map[string]Fault{}, closed: make(chan struct{})}
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.http.EnableHTTP2 = false // a lost answer is a cut connection, and that needs one of its own
	cfg.Issuer = "https://" + s.http.Listener.Addr().String() + path
	provider, err := openid.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Provider = provider
	s.http.Config.ErrorLog = quiet()
	s.http.StartTLS()
	t.Cleanup(func() {
		close(s.closed)
		s.http.Close()
	})
	return s
}

// RootCAs verifies the server.
func (s *Server) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.http.Certificate())
	return pool
}

// Certificate returns the server's own as PEM: what is in the file of who is told whom to trust.
func (s *Server) Certificate() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw}))
}

// Client returns an HTTP client that trusts the server.
func (s *Server) Client() *http.Client { return s.http.Client() }

// CloseConnections cuts every connection, as a restart would.
func (s *Server) CloseConnections() { s.http.CloseClientConnections() }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	endpoint := strings.TrimPrefix(r.URL.Path, path)
	s.mu.Lock()
	fault := s.faults[endpoint]
	s.mu.Unlock()
	var next http.Handler = s.Provider
	if fault != nil {
		next = fault(next)
	}
	next = s.until(next)
	s.record(endpoint, next).ServeHTTP(w, r)
}

// until ends requests that hang when the test ends.
func (s *Server) until(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := contextUntil(r.Context(), s.closed)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Break puts a fault on an endpoint, in place of the one that was there.
func (s *Server) Break(endpoint string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[endpoint] = f
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = map[string]Fault{}
}
