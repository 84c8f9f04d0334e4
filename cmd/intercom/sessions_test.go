package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/session"
	"github.com/intercom-broker/intercom/deploy/stack"
)

const gatewayFile = `version: 1
listen: { address: ":8443", cert: tls.pem, key: tls.key }
origins: [ { url: "https://icom.test" } ]
provider: { issuer: "https://sso.test", client_id: icom }
sessions: { %s }
identity: { socket: "unix:///run/spire.sock" }
brokers: { id: "spiffe://test/broker", mesh: ["broker:8443"] }
services: services
policy: broker
audit: { dir: audit }
`

// typed runs the command, and returns what it prints.
func typed(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := root()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// TestSessions: who is logged in is seen, ended at a gateway that runs, and found in the audit log.
func TestSessions(t *testing.T) {
	dir, redis := t.TempDir(), stack.StartRedis(t, stack.RedisOptions{})
	file := filepath.Join(dir, "gateway.yaml")
	key := filepath.Join(dir, "key")
	where := fmt.Sprintf("redis: { addresses: [%q] }, keys: [%q]", redis.Addr, "file:"+key)
	for name, text := range map[string]string{file: fmt.Sprintf(gatewayFile, where), key: strings.Repeat("5a", 32)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]session.ID{}
	cfg, err := gateway.LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	running, done, err := gateway.OpenSessions(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, user := range []string{"alice", "bob", "carol"} {
		ids[user], _, err = running.Create(t.Context(), session.Session{
			Origin: "https://icom.test", Issuer: "https://sso.test", Subject: user, SID: "sid of " + user, ProviderEnd: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	alive := func(user string) bool {
		_, err := running.Get(t.Context(), ids[user])
		if err != nil && fault.KindOf(err) != fault.Unauthenticated {
			t.Fatal(err)
		}
		return err == nil
	}
	if out, err := typed(t, "sessions", "list", "--config", file); err != nil || !strings.Contains(out, `"alice"`) || !strings.Contains(out, `"carol"`) || strings.Contains(out, ids["alice"].Cookie()) {
		t.Errorf("list: %v\n%s", err, out)
	}
	if out, err := typed(t, "sessions", "end", "--config", file, "--user", "alice"); err != nil || !strings.Contains(out, "1 of 1") {
		t.Errorf("end --user: %v %s", err, out)
	}
	for deadline := time.Now().Add(30 * time.Second); alive("alice") && time.Now().Before(deadline); {
		<-time.After(10 * time.Millisecond)
	}
	if alive("alice") || !alive("bob") {
		t.Errorf("alice %t, bob %t", alive("alice"), alive("bob"))
	}
	if out, err := typed(t, "sessions", "list", "--config", file, "--sid", "sid of bob"); err != nil || !strings.Contains(out, `"bob"`) || strings.Contains(out, `"carol"`) {
		t.Errorf("list --sid: %v\n%s", err, out)
	}
	if out, err := typed(t, "sessions", "end", "--config", file, "--all"); err != nil || !strings.Contains(out, "2 of 2") {
		t.Errorf("end --all: %v %s", err, out)
	}
	out, err := typed(t, "audit", "tail", "--audit", filepath.Join(dir, "audit"))
	if err != nil || strings.Count(out, "sessions-end") != 2 || !strings.Contains(out, "session/user/alice") {
		t.Errorf("audit: %v\n%s", err, out)
	}
}

// TestSessionsRefuses: nothing is ended by leaving something out.
func TestSessionsRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, gatewayFile, "memory: true"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"want --user, --sid or --all": {"sessions", "end", "--config", file},
		"in the gateway's memory":     {"sessions", "end", "--config", file, "--all"},
		"none of the others can be":   {"sessions", "end", "--config", file, "--all", "--user", "x"},
	} {
		if _, err := typed(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
