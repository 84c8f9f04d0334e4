package doctor_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/cmd/internal/doctor"
)

// lesser is a gateway before a provider of ours, which can lack what Keycloak has.
type lesser struct{ *gatewaytest.World }

// startLesser starts one. auth says how the gateway proves itself; nil means with a secret.
func startLesser(t *testing.T, auth func(*gatewaytest.World, *openid.Config, *gateway.Provider)) *lesser {
	t.Helper()
	return &lesser{gatewaytest.Start(t, gatewaytest.Options{
		Services: `  orders: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, user: { exchange: { audience: orders } }, match: "/**" }`,
		Provider: func(w *gatewaytest.World) gateway.Provider {
			return w.Ours(t, func(theirs *openid.Config, ours *gateway.Provider) {
				theirs.Clients[0].Audiences, ours.Scopes = []string{"orders"}, nil
				if auth != nil {
					theirs.Clients[0].Secret, ours.Secret = secret.Value{}, strict.Ref{}
					auth(w, theirs, ours)
				}
			})
		},
	})}
}

func (l *lesser) examine(t *testing.T, timeout time.Duration) []doctor.Row {
	t.Helper()
	c := l.Gateways[0].Config
	c.UpstreamCA = l.Authority.File
	return doctor.Examine(t.Context(), doctor.Options{Gateway: &c, GatewayFile: "gateway.yaml", Timeout: timeout})
}

// always are rows of this world that say nothing here: the provider is at an address, and nobody serves orders.
func always() []string { return []string{"same-site", "upstream"} }

// TestLesserProviders: what a provider lacks is named with what follows from it.
func TestLesserProviders(t *testing.T) {
	l := startLesser(t, nil)
	broken(t, l.examine(t, patient), want{"token-exchange", doctor.Skip, "exchange is on", ""}, always()...)
	lacking := func(names ...string) providertest.Fault {
		return providertest.Answer(func(m map[string]any) {
			for _, name := range names {
				delete(m, name)
			}
		})
	}
	for name, c := range map[string]struct {
		at    string
		fault providertest.Fault
		want  want
		also  []string
	}{
		"no logout":              {openid.PathDiscovery, lacking("end_session_endpoint"), want{"provider", doctor.Warn, "end_session_endpoint", ""}, nil},
		"no back-channel logout": {openid.PathDiscovery, lacking("backchannel_logout_supported"), want{"provider", doctor.Warn, "with the next refresh only", ""}, nil},
		"no sid":                 {openid.PathDiscovery, lacking("backchannel_logout_session_supported"), want{"provider", doctor.Warn, "all of the user's sessions", ""}, nil},
		"no iss":                 {openid.PathDiscovery, lacking("authorization_response_iss_parameter_supported"), want{"provider", doctor.Warn, "RFC 9207", ""}, nil},
		"no PKCE": {openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} }),
			want{"provider", doctor.Fail, "no PKCE with S256", ""}, nil},
		"no exchange": {openid.PathDiscovery, providertest.Answer(func(m map[string]any) { m["grant_types_supported"] = []string{"authorization_code", "refresh_token"} }),
			want{"provider", doctor.Fail, "user: exchange or mint are refused: orders", ""}, nil},
		"no keys":      {openid.PathJWKS, providertest.Answer(func(m map[string]any) { m["keys"] = []any{} }), want{"provider", doctor.Fail, "no key that verifies", ""}, nil},
		"it is broken": {openid.PathDiscovery, providertest.Status(http.StatusBadGateway, 0), want{"provider", doctor.Fail, "answered 502", "provider.issuer"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(l.IDP.Heal)
			l.IDP.Break(c.at, c.fault)
			broken(t, l.examine(t, patient), c.want, append(c.also, always()...)...)
		})
	}
	t.Run("it hangs", func(t *testing.T) {
		t.Cleanup(l.IDP.Heal)
		l.IDP.Break(openid.PathDiscovery, providertest.Hang())
		began := time.Now()
		rows := l.examine(t, 3*time.Second)
		broken(t, rows, want{"provider", doctor.Fail, "deadline", "provider.issuer"}, always()...)
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it took %s", took)
		}
		if !(want{check: "brokers", status: doctor.OK}).among(rows) {
			t.Error("one failure hides what others saw")
		}
	})
}

// TestKeysOfTheGateways: what only the gateways can prove is not tried, and what can be seen of it is looked at.
func TestKeysOfTheGateways(t *testing.T) {
	l := startLesser(t, func(w *gatewaytest.World, c *openid.Config, p *gateway.Provider) {
		c.Clients[0].JWKSURI, p.Auth = w.Origin()+"/bff/jwks", "private_key_jwt"
	})
	rows := l.examine(t, patient)
	broken(t, rows, want{"provider-client", doctor.Skip, "1 public key is at " + l.Origin() + "/bff/jwks", ""}, always()...)
	if !(want{"token-exchange", doctor.Skip, "only the gateways have", ""}).among(rows) {
		t.Error("an exchange was asked for with a key that nobody knows")
	}
}

// later is the trust domain of a broker that is not started yet.
type later struct{ *gatewaytest.World }

func (l later) GetJWTBundleForTrustDomain(td spiffeid.TrustDomain) (*jwtbundle.Bundle, error) {
	return l.Broker.Domain.Bundle().JWTBundle(), nil
}

// TestSVIDAtTheProvider: a provider that takes JWT-SVIDs takes ours, and is told from one that wants another's.
func TestSVIDAtTheProvider(t *testing.T) {
	for path, want := range map[string]want{
		"/gateway": {"provider-client", doctor.OK, "spiffe_jwt, the strongest that it announces", ""},
		"/other":   {"provider-client", doctor.Fail, "spiffe_jwt", "its subject is our SPIFFE ID"},
	} {
		l := startLesser(t, func(w *gatewaytest.World, c *openid.Config, _ *gateway.Provider) {
			c.Clients[0].SPIFFEID, c.Bundles = spiffeid.RequireFromString("spiffe://intercom.test"+path), later{w}
		})
		broken(t, l.examine(t, patient), want, append(always(), "token-exchange")...)
	}
}
