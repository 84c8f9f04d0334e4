package keycloak_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest/providersuite"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestSuite: the file is enough for all that a provider has to do with the gateway. Refresh tokens are good once here, which
// the file does without.
func TestSuite(t *testing.T) {
	k := stack.Keycloak(t, "")
	providersuite.Run(t, providersuite.Driver{
		Authority: k.Authority,
		SignIn:    func(user string) url.Values { return url.Values{"username": {user}, "password": {user}} },
		Register: func(t *testing.T, g *gatewaytest.World, c providersuite.Client) providersuite.Registered {
			t.Helper()
			w := &world{keycloak: k, realm: strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))}
			w.make(t, g, func(realm map[string]any) { suit(realm, g, c) })
			return providersuite.Registered{
				Provider: w.client(t, g, c),
				EndSession: func(t *testing.T, _ *providersuite.Person, user string) {
					k.Call(t, http.MethodPost, w.realm+"/users/"+w.userID(t, user)+"/logout", nil, nil)
				},
				Forget: func(t testing.TB, user string) {
					k.Call(t, http.MethodPut, w.realm+"/users/"+w.userID(t, user), map[string]any{"enabled": false}, nil)
				},
			}
		},
	})
}

// suit makes the realm one of the suite's: with a service that takes the token of the login, and the client as asked for.
func suit(realm map[string]any, g *gatewaytest.World, c providersuite.Client) {
	realm["revokeRefreshToken"], realm["refreshTokenMaxReuse"] = true, 0
	if c.Life > 0 {
		realm["accessTokenLifespan"] = c.Life.Seconds()
	}
	realm["clients"] = append(realm["clients"].([]any), map[string]any{"clientId": "own", "bearerOnly": true})
	client := realm["clients"].([]any)[0].(map[string]any)
	client["protocolMappers"] = append(client["protocolMappers"].([]any), map[string]any{
		"name": "own", "protocol": "openid-connect", "protocolMapper": "oidc-audience-mapper",
		"config": map[string]any{"included.client.audience": "own", "access.token.claim": "true", "id.token.claim": "false"},
	})
	attributes := client["attributes"].(map[string]any)
	client["redirectUris"], attributes["post.logout.redirect.uris"] = g.URLs("/bff/callback"), strings.Join(g.URLs("/bff/logout/return"), "##")
	if !c.Keys {
		return
	}
	delete(client, "secret")
	client["clientAuthenticatorType"] = "client-jwt"
	attributes["use.jwks.url"] = "true"
	attributes["jwks.url"] = strings.TrimSuffix(attributes["backchannel.logout.url"].(string), "backchannel-logout") + "jwks"
}

// client is the gateway's side.
func (w *world) client(t *testing.T, g *gatewaytest.World, c providersuite.Client) gateway.Provider {
	t.Helper()
	p := w.provider(t)
	if c.Keys {
		p.Auth = "private_key_jwt"
		return p
	}
	g.Write(t, "client-secret", "s3cret")
	p.Secret = strict.Ref{Scheme: "file", Name: g.Path("client-secret")}
	return p
}
