package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// loggedOut reports whether a logout with the session's own token finds nobody any more. It ends what it finds.
func (p *person) loggedOut() bool {
	p.t.Helper()
	res := p.Fetch(http.MethodPost, "/bff/logout", bff.HeaderCSRF+": "+bff.CSRFToken([]byte(p.Session())))
	var said struct {
		LogoutURL string `json:"logout_url"`
	}
	must(p.t, json.Unmarshal([]byte(res.Text), &said))
	return said.LogoutURL == ""
}

// TestReplicas: a login may begin at one gateway, end at another and be over by a third.
func TestReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{replicas: 3, redis: stack.StartRedis(t, stack.RedisOptions{}), change: unhurried})
	alice := w.person(t, 0)
	begun := alice.Navigate("/bff/login")
	back := alice.IDP.Login(begun.Header.Get("Location"), "alice")
	if res := alice.at(1).Navigate("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther || alice.Session() == "" {
		t.Fatalf("callback: %d %s", res.StatusCode, res.Text)
	}
	if alice.at(2).loggedOut() {
		t.Error("the third gateway does not know the session")
	}
}

// TestSealingKeys: a key is replaced without a logout, and without a restart.
func TestSealingKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{redis: stack.StartRedis(t, stack.RedisOptions{})})
	alice, bob := w.person(t, 0), w.person(t, 0)
	alice.Login("alice")
	next := strings.Repeat("c3", 32)
	w.Write(t, "sealing", next+"\n"+strings.Repeat("5a", 32)+"\n")
	w.Write(t, "next", next)
	// Another gateway has only the new key: it knows whom the first one has sealed with it.
	cfg := w.config(t)
	cfg.Sessions.Keys = []strict.Ref{{Scheme: "file", Name: w.Path("next")}}
	w.Add(t, cfg)
	gatewaytest.Every(t, 250*time.Millisecond, "the first gateway seals with the new key", func() bool {
		bob.Login("bob")
		return !bob.at(1).loggedOut()
	})
	if alice.loggedOut() {
		t.Error("alice was logged out by the change of the key")
	}
}

// jwks fetches what a gateway serves.
func (p *person) jwks() (ids []string) {
	p.t.Helper()
	var set jose.JSONWebKeySet
	must(p.t, json.Unmarshal([]byte(p.Do(http.MethodGet, "/bff/jwks", nil).Text), &set))
	for _, k := range set.Keys {
		if !k.IsPublic() {
			p.t.Error("a private key is served")
		}
		ids = append(ids, k.KeyID)
	}
	slices.Sort(ids)
	return ids
}

// TestClientKeys: each replica proves itself with a key of its own, and serves the keys of all; one that comes
// later is not ready before the provider can know its key.
func TestClientKeys(t *testing.T) {
	t.Parallel()
	redis := stack.StartRedis(t, stack.RedisOptions{})
	w := newWorld(t, options{redis: redis, provider: func(g *gatewaytest.World, theirs *openid.Config, ours *gateway.Provider) {
		theirs.Clients[0].Secret, theirs.Clients[0].JWKSURI = secret.Value{}, g.Origin()+"/bff/jwks"
		ours.Auth, ours.Secret = "private_key_jwt", strict.Ref{}
	}})
	w.person(t, 0).Login("alice")
	if auth := w.IDP.Calls(openid.PathToken)[0].Auth; auth != "private_key_jwt" {
		t.Errorf("proved by %q", auth)
	}
	began := time.Now()
	w.Add(t, w.config(t))
	if waited := time.Since(began); waited < 14*time.Second {
		t.Errorf("ready after %v, before the provider can know the key", waited)
	}
	w.person(t, 1).Login("bob")
	forged := `{"kty":"EC","crv":"P-256","kid":"forged","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	for _, member := range []string{forged, "." + forged, "x." + forged} {
		redis.Call(t, "ZADD", "ic:jwks", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10), member)
	}
	first, second := w.person(t, 0).jwks(), w.person(t, 1).jwks()
	if len(first) != 2 || !slices.Equal(first, second) {
		t.Errorf("the gateways serve %q and %q", first, second)
	}
}
