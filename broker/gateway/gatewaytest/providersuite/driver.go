package providersuite

import (
	"net/url"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// Driver says how a provider is handled. It has the users alice, who is in the group staff, and bob.
type Driver struct {
	// Authority vouches for the origins, so that the provider may call them; nil means one of each world's own.
	Authority *stack.Authority
	// Register makes the world's gateways, with all of their origins, one client of the provider; required. Access tokens are for "intercom", "files"
	// and "own", refresh tokens are good once, and the name preferred_username and the groups are in the ID token.
	Register func(t *testing.T, w *gatewaytest.World, c Client) Registered
	// SignIn is what a user types into the login form, by the names of its fields; required.
	SignIn func(user string) url.Values
	// Confirm answers what the provider asks at a logout; nil means that it asks nothing.
	Confirm func(p *Person, asked Answer) Answer
	// NoExchange: it exchanges no tokens, so services with `user: exchange` or `mint` are refused.
	NoExchange bool
}

// Client is how the gateway is to be registered.
type Client struct {
	// Keys: it proves itself with keys that the provider fetches at the origin's /bff/jwks, else with a secret.
	Keys bool
	// Life is an access token's; zero means minutes.
	Life time.Duration
	// Alone: there is one gateway, else there are two.
	Alone bool
}

// Registered is the gateway as a client.
type Registered struct {
	// Provider is the gateway's side; Claims and Scopes are set by it where it needs them.
	Provider gateway.Provider
	// EndSession ends the session of a person at the provider, which tells the gateway; required.
	EndSession func(t *testing.T, p *Person, user string)
	// Forget makes the next refresh of a user fail, and tells nobody; required.
	Forget func(t testing.TB, user string)
}
