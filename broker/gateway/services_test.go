package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// services are two that browsers reach: orders takes a token that the broker mints, and items one that the provider
// exchanges.
type services struct {
	orders, items *httptest.Server
	served        atomic.Int64
}

func newServices(t testing.TB) *services {
	t.Helper()
	s := &services{}
	s.orders, s.items = httptest.NewServer(http.HandlerFunc(s.serve)), httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.orders.Close)
	t.Cleanup(s.items.Close)
	return s
}

func (s *services) file() string {
	return fmt.Sprintf(`  orders: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  client: { vend: { credential: gateway/client } }
  items: { upstream: { url: %q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: items-api } }, match: "/items/**" }
`, s.orders.URL, s.items.URL)
}

// serve says what it got: the claims of the token, and all headers.
func (s *services) serve(w http.ResponseWriter, r *http.Request) {
	s.served.Add(1)
	if strings.HasSuffix(r.URL.Path, "/socket") {
		gatewaytest.ServeEcho(w, r)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/stream") {
		gatewaytest.ServeStream(w, r)
		return
	}
	claims := jwt.MapClaims{}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(arrived{Path: r.URL.Path, Claims: claims, Header: r.Header})
}

// arrived is what a service got.
type arrived struct {
	Path   string
	Claims map[string]any
	Header http.Header
}
