package keycloak_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// TestLogoutTokenIsNoIDToken: both are signed alike, for the same client and user. Keycloak's logout token counts as no ID
// token, not even from the token endpoint, and its ID token ends no session; nor does any other of its tokens.
func TestLogoutTokenIsNoIDToken(t *testing.T) {
	t.Parallel()
	k := stack.Keycloak(t, "")
	tokens := make(chan string, 1)
	between := newBetween(t, k)
	w := &world{keycloak: k, realm: "mixed"}
	w.start(t, func(g *gatewaytest.World) gateway.Provider {
		w.make(t, g, func(realm map[string]any) {
			realm["accessTokenLifespan"], realm["attributes"] = 5, map[string]string{"frontendUrl": between.server.URL}
			gatewayClient(realm)["attributes"].(map[string]any)["backchannel.logout.url"] = listener(t, k, func(token string) { tokens <- token })
		})
		g.Write(t, "client-secret", "s3cret")
		p := w.provider(t)
		p.Issuer = between.server.URL + "/realms/mixed"
		p.Secret = strict.Ref{Scheme: "file", Name: g.Path("client-secret")}
		return p
	})
	gone, alice := w.person(t), w.person(t)
	gone.login("alice").Claims(t)
	k.Call(t, http.MethodDelete, "mixed/sessions/"+gone.sid(t), nil, nil)
	logoutToken := told(t, tokens)
	alice.login("alice").Claims(t)
	for kind, token := range between.seen() {
		if res := w.backchannel(t, token); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s as a logout token: %s %s", kind, res.Status, res.Text)
		}
	}
	if !alice.State().Authenticated {
		t.Fatal("a token that is no logout token ended the session")
	}
	between.replace("id_token", logoutToken)
	gatewaytest.Eventually(t, "a refresh brings a logout token for an ID token, and nobody knows whose the tokens are", func() bool {
		return alice.Fetch(http.MethodGet, "/files/1").StatusCode == http.StatusUnauthorized
	})
	if alice.State().Authenticated {
		t.Error("the session goes on")
	}
}

// between is a proxy before Keycloak, which sees the tokens, and can exchange them.
type between struct {
	server *httptest.Server

	mu       sync.Mutex
	mute     bool              // to proofs of possession
	last     map[string]string // by their names in the answer
	replaced map[string]string
}

func newBetween(t *testing.T, k *stack.KeycloakServer) *between {
	t.Helper()
	b := &between{last: map[string]string{}, replaced: map[string]string{}}
	to, err := url.Parse(k.Addr)
	must(t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: k.Authority.Pool()}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host; b.silence(r.Out.Header) },
		ModifyResponse: b.answered, Transport: transport,
	}
	b.server = serve(t, k, proxy.ServeHTTP)
	return b
}

// answered looks at answers of the token endpoint that have an ID token: those of a login or a refresh.
func (b *between) answered(res *http.Response) error {
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" || res.Request.Method != http.MethodPost {
		return nil
	}
	var answer map[string]any
	err := json.NewDecoder(res.Body).Decode(&answer)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if answer["id_token"] != nil {
		for _, kind := range []string{"id_token", "access_token", "refresh_token"} {
			b.last[kind], _ = answer[kind].(string)
		}
		for kind, token := range b.replaced {
			answer[kind] = token
		}
	}
	text, err := json.Marshal(answer)
	res.Body = io.NopCloser(bytes.NewReader(text))
	res.Header.Set("Content-Length", strconv.Itoa(len(text)))
	res.ContentLength = int64(len(text))
	return err
}

// silence takes away what a proxy may that knows no DPoP.
func (b *between) silence(h http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mute {
		h.Del(dpop.Header)
	}
}

func (b *between) setMute(mute bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mute = mute
}

func (b *between) seen() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.last)
}

func (b *between) replace(kind, token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replaced[kind] = token
}
