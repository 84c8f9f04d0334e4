package gatewaytest_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestMain(m *testing.M) {
	stack.ResolveNames()
	stack.Main(m)
}

// TestWorld: two gateways share an origin, and one of them may go.
func TestWorld(t *testing.T) {
	w := gatewaytest.Start(t, gatewaytest.Options{Replicas: 2, Redis: stack.StartRedis(t, stack.RedisOptions{}), Provider: func(w *gatewaytest.World) gateway.Provider { return w.Ours(t, nil) },
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
