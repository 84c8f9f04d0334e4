package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/provider"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/broker/secret"
)

// TestIntroductionEnds: a provider that does not know our key keeps us from being ready, and not for ever; what proves us by
// other means, or is refused for other reasons, is no matter of keys.
func TestIntroductionEnds(t *testing.T) {
	const callback = "https://app.test/bff/callback"
	idp := providertest.New(t, openid.Config{Clients: []openid.Client{{
		ID: "gateway", Secret: secret.FromString("s3cret"), RedirectURIs: []string{callback},
	}}})
	own, err := provider.NewAssertions(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	introduced := func(auth provider.Auth, since time.Duration, fault providertest.Fault) (bool, string) {
		t.Helper()
		p, err := provider.Open(t.Context(), provider.Config{Issuer: idp.Issuer(), ClientID: "gateway", RootCAs: idp.RootCAs(), Auth: auth})
		if err != nil {
			t.Fatal(err)
		}
		if fault != nil {
			idp.Break(openid.PathToken, fault)
			defer idp.Heal()
		}
		ctx, stop := context.WithTimeout(t.Context(), askAgain/2) // time for one question
		defer stop()
		var log bytes.Buffer
		k := &clientKeys{ready: time.Now().Add(-since)}
		if err := k.introduce(p, callback, slog.New(slog.NewTextHandler(&log, nil)))(ctx); err != nil {
			t.Error(err)
		}
		return k.Ready() == nil, log.String()
	}
	key := provider.Auth{Method: provider.ByPrivateKey, Assertions: own}
	bySecret := provider.Auth{Secret: func(context.Context) (secret.Value, error) { return secret.FromString("wrong"), nil }}
	if ready, _ := introduced(key, 0, nil); ready {
		t.Error("ready with a key that the provider does not know")
	}
	if ready, log := introduced(key, patience+time.Second, nil); !ready || !strings.Contains(log, "does not take the key") {
		t.Errorf("ready %t: %q", ready, log)
	}
	if ready, _ := introduced(key, 0, providertest.Refuse(400, "invalid_request", "no such code")); !ready {
		t.Error("a provider that has other words for a code of nobody's is asked for ever")
	}
	if ready, _ := introduced(key, 0, providertest.Status(503, 0)); ready {
		t.Error("ready before the provider could be asked")
	}
	if ready, _ := introduced(bySecret, 0, nil); !ready {
		t.Error("waits for a key that is not used")
	}
}
