package gatewaytest_test

import (
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"testing"

	"crypto/tls"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/strict"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// ours registers the world at a provider of ours.
func ours(t *testing.T) func(*gatewaytest.World) gateway.Provider {
	return func(w *gatewaytest.World) gateway.Provider {
		idp := providertest.New(t, openid.Config{
			HTTP:    &http.Client{Transport: w.Transport(t)},
			Clients: []openid.Client{{ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{w.Origin() + "/bff/callback"}}},
		})
		w.Write(t, "client-secret", "s3cret")
		w.Write(t, "idp.pem", certificateOf(t, idp))
		return gateway.Provider{
			Issuer: idp.Issuer(), ClientID: "gateway", CA: w.Path("idp.pem"),
			Secret: strict.Ref{Scheme: "file", Name: w.Path("client-secret")},
		}
	}
}

func certificateOf(t *testing.T, idp *providertest.Server) string {
	u, err := url.Parse(idp.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: idp.RootCAs()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw}))
}

// TestWorld: two gateways share an origin, and one of them may go.
func TestWorld(t *testing.T) {
	w := gatewaytest.Start(t, gatewaytest.Options{Replicas: 2, Redis: stack.StartRedis(t, stack.RedisOptions{}), Provider: ours(t),
		Services: `  web: { upstream: { url: "http://127.0.0.1:9", dial: [127.0.0.0/8] }, token: { bind: none }, user: none, match: "/**" }`})
	asks := func() {
		t.Helper()
		client := http.Client{Transport: w.Transport(t)}
		res, err := client.Get(w.Origin() + "/bff/session")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s", res.Status)
		}
	}
	asks()
	asks()
	w.Front.Lead(w.Gateways[1].Front)
	w.Gateways[0].Stop(t)
	asks()
	if _, err := os.Stat(w.Path("audit1")); err != nil {
		t.Error(err)
	}
}
