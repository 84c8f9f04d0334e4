package gatewaytest

import (
	"net/http"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Ours is a provider of ours, which is World.IDP from then on, with the world's gateways as its client "gateway": for
// [Options].Provider. change may change both sides, of which the client is the first of Clients; nil means that they stay.
func (w *World) Ours(t testing.TB, change func(*openid.Config, *gateway.Provider)) gateway.Provider {
	t.Helper()
	w.Write(t, "client-secret", "s3cret\n")
	ours := gateway.Provider{
		ClientID: "gateway", CA: w.Path("idp.pem"), Scopes: []string{"profile", "groups"},
		Secret: strict.Ref{Scheme: "file", Name: w.Path("client-secret")},
	}
	theirs := openid.Config{HTTP: &http.Client{Transport: w.Transport(t)}, Clients: []openid.Client{{
		ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: w.URLs("/bff/callback"), PostLogoutRedirectURIs: w.URLs("/bff/logout/return"),
		BackchannelLogoutURI: w.Origin() + "/bff/backchannel-logout", Audiences: []string{Audience},
	}}}
	if change != nil {
		change(&theirs, &ours)
	}
	w.IDP = providertest.New(t, theirs)
	w.Write(t, "idp.pem", w.IDP.Certificate())
	ours.Issuer = w.IDP.Issuer()
	return ours
}
