package providersuite_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest/providersuite"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// TestOurs: the provider that the other tests stand on does what those of others do.
func TestOurs(t *testing.T) {
	providersuite.Run(t, providersuite.Driver{
		SignIn:   func(user string) url.Values { return url.Values{"username": {user}, "password": {user}} },
		Register: register,
	})
}

func register(t *testing.T, w *gatewaytest.World, c providersuite.Client) providersuite.Registered {
	t.Helper()
	bff := w.Origin() + "/bff/"
	client := openid.Client{
		ID: "gateway", RedirectURIs: w.URLs("/bff/callback"), PostLogoutRedirectURIs: w.URLs("/bff/logout/return"),
		BackchannelLogoutURI: bff + "backchannel-logout", Audiences: []string{gatewaytest.Audience, "files", "own"},
	}
	ours := gateway.Provider{ClientID: "gateway", CA: w.Authority.File, Scopes: []string{"profile", "groups"}, Claims: []string{"preferred_username"}}
	if c.Keys {
		client.JWKSURI, ours.Auth = bff+"jwks", "private_key_jwt"
	} else {
		client.Secret, ours.Secret = secret.FromString("s3cret"), strict.Ref{Scheme: "file", Name: w.Path("client-secret")}
		w.Write(t, "client-secret", "s3cret")
	}
	idp := serve(t, w, openid.Config{AccessLife: c.Life, Clients: []openid.Client{client}, HTTP: &http.Client{Transport: w.Transport(t)}})
	ours.Issuer = idp.Issuer()
	return providersuite.Registered{
		Provider:   ours,
		EndSession: func(t *testing.T, _ *providersuite.Person, user string) { idp.EndSession(t.Context(), user) },
		Forget:     func(_ testing.TB, user string) { idp.DisableUser(user) },
	}
}

// serve starts a provider for which the world's authority vouches.
func serve(t *testing.T, w *gatewaytest.World, cfg openid.Config) *openid.Provider {
	t.Helper()
	const host = "id." + stack.TestDomain
	must(t, w.Authority.Issue(w.Path("idp.pem"), w.Path("idp.key"), host))
	pair, err := tls.LoadX509KeyPair(w.Path("idp.pem"), w.Path("idp.key"))
	must(t, err)
	s := httptest.NewUnstartedServer(nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	must(t, err)
	cfg.Issuer = "https://" + net.JoinHostPort(host, port)
	idp, err := openid.New(cfg)
	must(t, err)
	s.Config.Handler, s.TLS = idp, &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return idp
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
