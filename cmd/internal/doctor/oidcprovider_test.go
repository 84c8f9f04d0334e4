package doctor_test

import (
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// foreignCase is a deployment on npm's oidc-provider, which is broken in one way. Services is theirs; empty means one that
// takes the token of the login. Change may change the client there and our side here, and Defaults are settings of the
// provider that stay as the package brings them.
type foreignCase struct {
	services string
	change   func(client map[string]any, ours *gateway.Provider)
	defaults []string
	token    string // of --user-token
	want     want
	also     []string
}

const (
	ownService = `  own: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, user: access_token, match: "/**" }`
	traded     = `  files: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: files } }, match: "/files/**" }
  orders: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, match: "/orders/**" }`
)

// examine starts it and looks at it.
func (c foreignCase) examine(t *testing.T) []doctor.Row {
	t.Helper()
	w := gatewaytest.Start(t, gatewaytest.Options{Services: c.services, Provider: func(w *gatewaytest.World) gateway.Provider {
		bff := w.Origin() + "/bff/"
		client := map[string]any{
			"client_id": "gateway", "client_secret": "s3cret", "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
			"redirect_uris": []string{bff + "callback"}, "post_logout_redirect_uris": []string{bff + "logout/return"},
		}
		w.Write(t, "client-secret", "s3cret")
		ours := gateway.Provider{ClientID: "gateway", Secret: strict.Ref{Scheme: "file", Name: w.Path("client-secret")}}
		if c.change != nil {
			c.change(client, &ours)
		}
		idp := stack.StartOIDCProvider(t, stack.OIDCProviderOptions{Authority: w.Authority, Clients: []map[string]any{client}, Defaults: c.defaults})
		ours.Issuer, ours.CA = idp.Issuer, idp.CACert
		return ours
	}})
	cfg := w.Gateways[0].Config
	cfg.UpstreamCA = w.Authority.File
	return doctor.Examine(t.Context(), doctor.Options{Gateway: &cfg, GatewayFile: "gateway.yaml", Timeout: patient, UserToken: secret.FromString(c.token)})
}

// tokenFor is a token of nobody's making, for one audience.
func tokenFor(t *testing.T, audience string) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Audience: jwt.ClaimStrings{audience}}).SignedString([]byte("a key of nobody's"))
	must(t, err)
	return token
}

// TestOIDCProvider: what a second foreign provider lacks is named with what follows from it, and the rest of it is taken as
// Keycloak's is.
func TestOIDCProvider(t *testing.T) {
	elsewhere := []string{"https://else.test/x"}
	for name, c := range map[string]foreignCase{
		"healthy": {want: want{"provider-client", doctor.OK, "client_secret_basic", ""}},
		"it exchanges no tokens": {services: traded, also: []string{"provider"},
			want: want{"token-exchange", doctor.Fail, "exchanges no tokens", "another user:"}},
		"and says so": {services: traded, also: []string{"token-exchange"},
			want: want{"provider", doctor.Fail, "user: exchange or mint are refused: files, orders", "another user:"}},
		"it does not tell of logouts": {defaults: []string{"backchannelLogout"}, want: want{"provider", doctor.Warn, "with the next refresh only", ""}},
		"it frames nobody": {change: func(_ map[string]any, ours *gateway.Provider) { ours.FrontChannel = true },
			want: want{"provider", doctor.Warn, "provider.front_channel waits for", ""}},
		"it takes no token back": {defaults: []string{"revocation"}, want: want{"provider", doctor.Warn, "good beyond a logout", ""}},
		"what a login brings is not seen": {
			want: want{"refresh-token", doctor.OK, "with its first access token", ""}},
		"offline access": {change: func(_ map[string]any, ours *gateway.Provider) { ours.Scopes = []string{"profile", "offline_access"} },
			want: want{"refresh-token", doctor.Warn, "outlive", "provider.scopes"}},
		"a client without the grant": {change: func(client map[string]any, _ *gateway.Provider) {
			client["grant_types"] = []string{"authorization_code"}
		},
			want: want{"refresh-token", doctor.Warn, "not allowed", "grant refresh_token"}},
		"another secret": {change: func(client map[string]any, _ *gateway.Provider) { client["client_secret"] = "other" }, also: []string{"refresh-token"},
			want: want{"provider-client", doctor.Fail, "invalid_client", "provider.secret"}},
		"a callback that is not registered": {change: func(client map[string]any, _ *gateway.Provider) { client["redirect_uris"] = elsewhere },
			want: want{"redirect-uri", doctor.Fail, "answers 400", "/bff/callback as a redirect URI"}},
		"a post-logout URI that is not registered": {change: func(client map[string]any, _ *gateway.Provider) { client["post_logout_redirect_uris"] = elsewhere },
			want: want{"post-logout-uri", doctor.Fail, "answers 400", "/bff/logout/return as a post-logout redirect URI"}},
		"a token that is not seen": {want: want{"own-token", doctor.Skip, "seen with a user's token only", ""}},
		"an opaque token":          {token: "AHGYDS", want: want{"own-token", doctor.Fail, "own the token of --user-token is opaque", "JWTs that name it"}},
		"a token for another":      {token: tokenFor(t, "files"), want: want{"own-token", doctor.Fail, `for ["files"] and not for "own"`, "JWTs that name it"}},
		"a token for the service":  {token: tokenFor(t, "own"), want: want{"own-token", doctor.OK, `for "own"`, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.services == "" {
				c.services = ownService
			}
			broken(t, c.examine(t), c.want, slices.Concat(c.also, []string{"upstream"})...)
		})
	}
}
