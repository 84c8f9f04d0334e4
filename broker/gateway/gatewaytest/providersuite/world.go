package providersuite

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

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
	upstream := httptest.NewServer(http.HandlerFunc(gatewaytest.ServeClaims))
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
func (w *World) Person(t *testing.T) *Person { return &Person{w.World.Person(t), t, w.driver.SignIn} }

// confirmed answers what the provider asks at a logout.
func (w *World) confirmed(p *Person) func(asked Answer) Answer {
	return func(asked Answer) Answer {
		if w.driver.Confirm == nil {
			return asked
		}
		return w.driver.Confirm(p, asked)
	}
}
