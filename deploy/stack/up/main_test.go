package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// screen is a terminal that can be read while it is written to.
type screen struct{ telemetrytest.Log }

// word returns what stands behind key on the screen, up to the next space.
func (s *screen) word(t *testing.T, key string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s.String(), key)
	if !ok {
		t.Fatalf("no %q in:\n%s", key, s)
	}
	return strings.Fields(rest)[0]
}

func TestUpUntilCtrlC(t *testing.T) {
	stack.Binary(t, "vault")
	stack.Binary(t, "spire-agent")
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := &screen{}, make(chan error, 1)
	go func() { ended <- run(ctx, out, []string{"c.test"}) }()
	for end := time.Now().Add(time.Minute); !strings.Contains(out.String(), "ready;"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) || len(ended) > 0 {
			t.Fatalf("not ready (%d):\n%s", len(ended), out)
		}
	}
	if !answers(t, out.word(t, "VAULT_ADDR=")) {
		t.Error("the Vault that it names does not answer")
	}
	if got := out.word(t, "trust domain "); got != "c.test" {
		t.Errorf("trust domain %s", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if answers(t, out.word(t, "VAULT_ADDR=")) {
		t.Error("Vault outlives Ctrl-C")
	}
}

// answers trusts any certificate, since the CA's file is gone in the end.
func answers(t *testing.T, url string) bool {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	resp, err := client.Get(url + "/v1/sys/health")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
