package providersuite

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// services are one for each way to a token, all of which say what their token says.
const services = `  orders: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }
  files: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  own: { upstream: { url: %[1]q, dial: [127.0.0.0/8] }, token: { bind: none }, user: access_token, match: "/own/**" }
`

const policy = `p, group:staff, call, service/orders/**, allow
p, group:staff, call, service/files/**, allow
p, group:staff, call, service/own/**, allow
p, group:staff, exchange, audience/orders, allow
`

// World is gateways on one Redis with two origins, in front of the services.
type World struct {
	*gatewaytest.World
	Registered

	driver Driver
}

// Start starts a world whose gateways are registered as c.
func (d Driver) Start(t *testing.T, c Client) *World {
	t.Helper()
	w := &World{driver: d}
	upstream := httptest.NewServer(http.HandlerFunc(claimsOf))
	t.Cleanup(upstream.Close)
	replicas := 2
	if c.Alone {
		replicas = 1
	}
	w.World = gatewaytest.Start(t, gatewaytest.Options{
		Hosts: []string{"app." + stack.TestDomain, "icom." + stack.TestDomain}, Replicas: replicas, Redis: stack.StartRedis(t, stack.RedisOptions{}), Authority: d.Authority, Policy: policy, Services: fmt.Sprintf(services, upstream.URL),
		Provider: func(g *gatewaytest.World) gateway.Provider {
			w.Registered = d.Register(t, g, c)
			return w.Provider
		},
	})
	return w
}

// Person sits down at a browser.
func (w *World) Person(t *testing.T) *Person { return newPerson(t, w.World, w.driver.SignIn) }

// leave goes where a logout leads, and answers what is asked there.
func (w *World) leave(p *Person, address string) Answer {
	p.t.Helper()
	at := p.Navigate(address)
	if w.driver.Confirm != nil {
		at = w.driver.Confirm(p, at)
	}
	return at
}

func claimsOf(w http.ResponseWriter, r *http.Request) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(claims)
}
