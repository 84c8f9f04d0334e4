package provider_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/patience"
	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	callbackURI = "https://app.example.test/bff/callback"
	goneURI     = "https://app.example.test/gone"
	clientID    = "gateway"
	password    = "a secret with : and % and ü"
)

// gateway is the client as the provider knows it.
func gateway() openid.Client {
	return openid.Client{
		ID: clientID, Secret: secret.FromString(password), RedirectURIs: []string{callbackURI}, PostLogoutRedirectURIs: []string{goneURI},
		Audiences: []string{"orders", "files"},
	}
}

// server starts a provider that knows the gateway; change may be nil.
func server(t testing.TB, change func(*openid.Config)) *providertest.Server {
	t.Helper()
	cfg := openid.Config{Clients: []openid.Client{gateway(), {ID: "stranger", Secret: secret.FromString("x")}}, Resources: []string{"ledger"}}
	if change != nil {
		change(&cfg)
	}
	return providertest.New(t, cfg)
}

func bySecret(context.Context) (secret.Value, error) { return secret.FromString(password), nil }

func config(s *providertest.Server, change func(*provider.Config)) provider.Config {
	cfg := provider.Config{
		Issuer: s.Issuer(), ClientID: clientID, Scopes: []string{"profile", "groups"}, RootCAs: s.RootCAs(),
		Auth: provider.Auth{Secret: bySecret}, Timeout: 30 * time.Second, KeyInterval: 20 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func open(t testing.TB, s *providertest.Server, change func(*provider.Config)) *provider.Provider {
	t.Helper()
	p, err := provider.Open(t.Context(), config(s, change))
	if err == nil {
		err = p.Ready()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start begins a login.
func start(t testing.TB, p *provider.Provider, req provider.Request) (string, provider.Transaction) {
	t.Helper()
	req.RedirectURI = callbackURI
	address, tx, err := p.AuthorizationURL(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return address, tx
}

// arrive goes through a login up to the answer.
func arrive(t testing.TB, s *providertest.Server, p *provider.Provider, req provider.Request) (provider.Transaction, url.Values) {
	t.Helper()
	address, tx := start(t, p, req)
	return tx, s.Browser(t).Login(address, "alice")
}

func login(t testing.TB, s *providertest.Server, p *provider.Provider) (provider.Tokens, provider.Claims) {
	t.Helper()
	tx, callback := arrive(t, s, p, provider.Request{})
	tokens, claims, err := p.Redeem(t.Context(), tx, callback)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, claims
}

// deadline bounds what hangs, generously: machines under load are slow.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
