package keycloak_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// serve starts a server that Keycloak trusts.
func serve(t *testing.T, k *stack.KeycloakServer, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, k.Authority.Issue(cert, key, "127.0.0.1"))
	pair, err := tls.LoadX509KeyPair(cert, key)
	must(t, err)
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// listener returns the address of a back-channel listener that keeps what it is told.
func listener(t *testing.T, k *stack.KeycloakServer, told func(token string)) string {
	t.Helper()
	return serve(t, k, func(_ http.ResponseWriter, r *http.Request) { told(r.FormValue("logout_token")) }).URL
}

// told waits for what a listener was told.
func told[V any](t *testing.T, from <-chan V) (v V) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told")
	}
	return v
}

// backchannel tells the gateways what Keycloak would.
func (w *world) backchannel(t *testing.T, token string) gatewaytest.Answer {
	t.Helper()
	return w.person(t).Post("/bff/backchannel-logout", url.Values{"logout_token": {token}})
}

// sessions returns the ids of a user's sessions at Keycloak.
func (w *world) sessions(t *testing.T, user string) (ids []string) {
	t.Helper()
	var found []struct{ ID string }
	w.keycloak.Call(t, http.MethodGet, w.realm+"/users/"+w.userID(t, user)+"/sessions", nil, &found)
	for _, s := range found {
		ids = append(ids, s.ID)
	}
	return ids
}
