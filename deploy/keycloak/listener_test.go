package keycloak_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// serve starts a server that Keycloak trusts.
func (w *world) serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, w.keycloak.Authority.Issue(cert, key, "127.0.0.1"))
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}
