package oidcprovider_test

import (
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest/providersuite"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// driver is npm's oidc-provider. change may change the client's metadata and the gateway's side; defaults are settings that
// stay as the package brings them.
func driver(change func(client map[string]any, ours *gateway.Provider), defaults ...string) providersuite.Driver {
	return providersuite.Driver{
		SignIn: signIn, Confirm: confirm, NoExchange: true,
		Register: func(t *testing.T, w *gatewaytest.World, c providersuite.Client) providersuite.Registered {
			t.Helper()
			client, ours := register(t, w, c.Keys)
			if change != nil {
				change(client, &ours)
			}
			p := stack.StartOIDCProvider(t, stack.OIDCProviderOptions{Authority: w.Authority, Clients: []map[string]any{client}, Life: c.Life, Defaults: defaults})
			ours.Issuer, ours.CA = p.Issuer, p.CACert
			return providersuite.Registered{
				Provider: ours, Forget: p.Forget,
				EndSession: func(_ *testing.T, person *providersuite.Person, _ string) {
					confirm(person, person.Navigate(p.Issuer+"/session/end"))
				},
			}
		},
	}
}

// signIn fills in the form of a login.
func signIn(user string) url.Values {
	return url.Values{"prompt": {"login"}, "login": {user}, "password": {user}}
}

// confirm says yes: oidc-provider asks who logs out, whatever hint is given, if anybody is logged in.
func confirm(p *providersuite.Person, asked providersuite.Answer) providersuite.Answer {
	return p.Submit(asked, url.Values{"logout": {"yes"}})
}

// register is the client's metadata and the gateway's side of it.
func register(t *testing.T, w *gatewaytest.World, keys bool) (client map[string]any, ours gateway.Provider) {
	t.Helper()
	bff := w.Origin() + "/bff/"
	client = map[string]any{
		"client_id": "intercom-gateway", "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		"redirect_uris": w.URLs("/bff/callback"), "post_logout_redirect_uris": w.URLs("/bff/logout/return"),
		"backchannel_logout_uri": bff + "backchannel-logout", "backchannel_logout_session_required": true,
	}
	ours = gateway.Provider{ClientID: "intercom-gateway", Scopes: []string{"profile"}, Claims: []string{"preferred_username"}}
	if keys {
		client["token_endpoint_auth_method"], client["jwks_uri"] = "private_key_jwt", bff+"jwks"
		ours.Auth = "private_key_jwt"
		return client, ours
	}
	client["client_secret"] = "s3cret"
	w.Write(t, "client-secret", "s3cret")
	ours.Secret = strict.Ref{Scheme: "file", Name: w.Path("client-secret")}
	return client, ours
}
