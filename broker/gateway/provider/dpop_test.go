package provider_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
)

// testPossession: each login's tokens are bound to a key of its own, with the nonce that the provider wants, and are
// refreshed and traded with that key alone.
func testPossession(t *testing.T) {
	s := providertest.New(t, openid.Config{Nonce: "n-1", Clients: []openid.Client{{
		ID: clientID, Secret: secret.FromString(password), RedirectURIs: []string{callbackURI}, Audiences: []string{"nextcloud"}, DPoP: true,
	}}})
	p := open(t, s, func(c *provider.Config) { c.DPoP = true })
	one, claims := login(t, s, p)
	two, _ := login(t, s, p)
	if a, b := boundTo(t, one.Access), boundTo(t, two.Access); a == "" || a == b || a != thumbprint(t, one.Key) {
		t.Errorf("bound to %q and %q", a, b)
	}
	for name, key := range map[string]secret.Value{"another login's": two.Key, "no key": {}} {
		if _, _, err := p.Holding(key).Refresh(deadline(t), one.Refresh, claims); err == nil {
			t.Errorf("refreshed with %s", name)
		}
	}
	holder := p.Holding(one.Key)
	fresh, _, err := holder.Refresh(deadline(t), one.Refresh, claims)
	if err != nil || boundTo(t, fresh.Access) != boundTo(t, one.Access) || !fresh.Key.Equal(one.Key) {
		t.Fatalf("refresh: %v", err)
	}
	got, err := holder.Exchange(deadline(t), fresh.Access, "nextcloud")
	if err != nil || boundTo(t, got.Token) != boundTo(t, one.Access) {
		t.Errorf("exchange: %v", err)
	}
	if _, err := p.Holding(two.Key).Exchange(deadline(t), fresh.Access, "nextcloud", "openid"); err == nil {
		t.Error("traded with another login's key")
	}
}

// TestPossessionIsNotHalf: a provider that binds no tokens is not taken for one that does.
func TestPossessionIsNotHalf(t *testing.T) {
	s := providertest.New(t, openid.Config{Clients: []openid.Client{{ID: clientID, Secret: secret.FromString(password), RedirectURIs: []string{callbackURI}}}})
	p := open(t, s, func(c *provider.Config) { c.DPoP = true })
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { a["token_type"] = "Bearer" }))
	tx, callback := arrive(t, s, p, provider.Request{})
	if _, _, err := p.Redeem(deadline(t), tx, callback); err == nil {
		t.Error("a token that is bound to nothing is taken")
	}
}

// TestUnbound: whoever asks without a proof where one is wanted, or gets nothing bound for one, is told which setting to
// change, and not that the provider is away.
func TestUnbound(t *testing.T) {
	s := providertest.New(t, openid.Config{Clients: []openid.Client{{ID: clientID, Secret: secret.FromString(password), RedirectURIs: []string{callbackURI}, DPoP: true}}})
	p := open(t, s, nil)
	redeem := func(want string) {
		t.Helper()
		tx, callback := arrive(t, s, p, provider.Request{})
		_, _, err := p.Redeem(deadline(t), tx, callback)
		if e := fault.From(err); e.Reason != provider.ReasonProof || !strings.Contains(e.Message, want) || !provider.Misset(err) || provider.Away(err) {
			t.Errorf("%v", err)
		}
	}
	redeem("set provider.dpop")
	s.Break(openid.PathToken, providertest.Refuse(http.StatusBadRequest, "invalid_request", "DPoP proof is missing")) // Keycloak's words
	redeem("set provider.dpop")
	s.Heal()
	p = open(t, s, func(c *provider.Config) {
		c.DPoP, c.Now = true, func() time.Time { return time.Now().Add(-2 * time.Minute) }
	})
	redeem("clock")
	p = open(t, s, func(c *provider.Config) { c.DPoP = true })
	s.Break(openid.PathToken, providertest.Answer(func(a map[string]any) { a["token_type"] = "Bearer" }))
	redeem("provider.dpop")
}

func boundTo(t *testing.T, token secret.Value) string {
	t.Helper()
	var claims struct {
		jwt.RegisteredClaims
		Confirmation struct {
			JKT string `json:"jkt"`
		} `json:"cnf"`
	}
	if _, _, err := jwt.NewParser().ParseUnverified(string(token.Reveal()), &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Confirmation.JKT
}

func thumbprint(t *testing.T, stored secret.Value) string {
	t.Helper()
	key, err := dpop.ParseKey(stored)
	if err != nil {
		t.Fatal(err)
	}
	return key.Thumbprint()
}
