package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
)

// least is the smallest file that holds.
const least = `version: 1
listen: { address: ":8443", cert: tls.pem, key: tls.key }
origins: [ { url: "https://icom.test" } ]
provider: { issuer: "https://sso.test", client_id: icom }
sessions: { memory: true }
identity: { socket: "unix:///run/spire.sock" }
brokers: { id: "spiffe://test/broker", mesh: ["broker:8443"] }
services: services
policy: broker
audit: { dir: audit }
`

func load(t *testing.T, text string) (gateway.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return gateway.LoadConfig(file)
}

func TestConfigLeast(t *testing.T) {
	c, err := load(t, least)
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(c.Services) || !filepath.IsAbs(c.Listen.Cert) || c.Policy != "broker" {
		t.Errorf("paths: %q, %q, %q", c.Services, c.Listen.Cert, c.Policy)
	}
}

// change replaces one line of the least file.
func change(t *testing.T, key, line string) string {
	t.Helper()
	lines := strings.Split(least, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, key+":") {
			lines[i] = line
			return strings.Join(lines, "\n")
		}
	}
	t.Fatalf("there is no %s", key)
	return ""
}

// testRefusals: what must not be started with is refused with the place where it stands.
func testRefusals(t *testing.T) {
	for name, c := range map[string]struct{ key, line, want string }{
		"an unknown key":        {"policy", "polcy: broker", `:9:1: unknown key "polcy"; did you mean "policy"?`},
		"a nested unknown key":  {"origins", `origins: [ { url: "https://icom.test", cor: [] } ]`, `:3:40: unknown key "cor"`},
		"a pattern":             {"origins", `origins: [ { url: "https://icom.test", cors: ["https://*.test"] } ]`, `:3:47: `},
		"a regular expression":  {"origins", `origins: [ { url: "https://icom.test", cors: ["https://.*test"] } ]`, `there are no patterns`},
		"an origin with a path": {"origins", `origins: [ { url: "https://icom.test/" } ]`, `:3:19: `},
		"no scheme":             {"origins", `origins: [ { url: icom.test } ]`, `:3:19: `},
		"plain http":            {"origins", `origins: [ { url: "http://icom.test" } ]`, `plain http is for localhost only`},
		"a frame anywhere":      {"origins", `origins: [ { url: "https://icom.test", frames: ["*"] } ]`, `:3:49: `},
		"a return anywhere":     {"origins", `origins: [ { url: "https://icom.test", return_to: ["https://a.test:443"] } ]`, `browsers write this origin as https://a.test`},
		"a home elsewhere":      {"origins", `origins: [ { url: "https://icom.test", return_to: ["https://a.test"], home: "https://b.test/" } ]`, `origins: home: want a path, or a URL at one of return_to`},
		"a home that is none":   {"origins", `origins: [ { url: "https://icom.test", home: portal } ]`, `origins: home: want a path`},
		"one origin twice":      {"origins", `origins: [ { url: "https://icom.test" }, { url: "https://icom.test" } ]`, `stands here twice`},
		"no origin":             {"origins", `origins: []`, `:3:10: origins: want at least one`},
		"an issuer, no scheme":  {"provider", `provider: { issuer: sso.test, client_id: icom }`, `:4:21: provider.issuer: want an https URL`},
		"an issuer over http":   {"provider", `provider: { issuer: "http://sso.test", client_id: icom }`, `:4:21: provider.issuer: want an https URL`},
		"a secret":              {"provider", `provider: { issuer: "https://sso.test", client_id: icom, secret: hunter2 }`, `:4:66: provider.secret: a secret may not stand here`},
		"a secret for nothing":  {"provider", `provider: { issuer: "https://sso.test", client_id: icom, auth: svid, secret: "env:S" }`, `it is not used with auth: svid`},
		"auth without secret":   {"provider", `provider: { issuer: "https://sso.test", client_id: icom, auth: secret }`, `there is no secret`},
		"two stores":            {"sessions", `sessions: { memory: true, redis: { addresses: ["r:1"] }, keys: ["env:K"] }`, `want exactly one of memory and redis`},
		"no store":              {"sessions", `sessions: { idle: 1h }`, `want exactly one of memory and redis`},
		"nothing to seal with":  {"sessions", `sessions: { redis: { addresses: ["r:1"] } }`, `want at least one: what Redis holds is sealed`},
		"an odd SameSite":       {"sessions", `sessions: { memory: true, same_site: none }`, `:5:38: sessions.same_site: want strict or lax`},
		"no address":            {"listen", `listen: { address: icom.test }`, `:2:20: listen.address: want host:port`},
		"no key":                {"listen", `listen: { address: ":1", cert: a }`, `cert and key come together`},
		"an ID":                 {"brokers", `brokers: { id: broker, mesh: ["b:1"] }`, `:7:16: brokers.id: not a SPIFFE ID`},
	} {
		_, err := load(t, change(t, c.key, c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestConfigRefusesAdditions(t *testing.T) {
	for line, want := range map[string]string{
		"prefix: bff":                   ":11:9: prefix: want a path",
		"prefix: /":                     "prefix: want a path",
		"prefix: /a/../b":               "prefix: want a path",
		"prefix: '/{x}'":                "prefix: want a path",
		"trusted_proxies: [0.0.0.0/0]":  ":11:19: trusted_proxies[0]: 0.0.0.0/0 is everybody",
		"trusted_proxies: [10.0.0.1/8]": "want 10.0.0.0/8",
		"trusted_proxies: [proxy.test]": "want a network such as",
		"telemetry: { log: loud }":      "want debug, info, warn or error",
		"limits: { connections: -1 }":   "want positive numbers",
		"identity: { socket: a }":       `"identity"`,
		"grace: soon":                   ":11:8:",
	} {
		if _, err := load(t, least+line+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

// TestSample: what stands in deploy/sample is what a gateway can be started with.
func TestSample(t *testing.T) {
	c, err := gateway.LoadConfig("../../deploy/sample/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c.Sessions.Absolute.Std() != 10*time.Hour || len(c.Origins) != 1 || !filepath.IsAbs(c.Sessions.Redis.TLS.CA) {
		t.Errorf("%+v", c)
	}
}

// TestConfigRefusedIsResolved: what names other files names them also where something else does not hold.
func TestConfigRefusedIsResolved(t *testing.T) {
	c, err := load(t, change(t, "origins", `origins: [ { url: "http://icom.test" } ]`))
	if err == nil || !filepath.IsAbs(c.Services) {
		t.Errorf("%q, %v", c.Services, err)
	}
}
