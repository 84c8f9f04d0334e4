package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker"
)

const minimal = `version: 1
issuer: https://broker.test
identity: { socket: unix:///run/agent.sock }
listen: { mesh: 127.0.0.1:8443, egress: 127.0.0.1:8444, web: { address: 127.0.0.1:8445 } }
policy: policy
services: services
store: { sealed: { path: store, key: env:KEY } }
audit: { dir: audit }
`

func load(t *testing.T, text string) (broker.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return broker.LoadConfig(file)
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	cfg, err := load(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{cfg.Policy, cfg.Services, cfg.Audit.Dir, cfg.Store.Sealed.Path} {
		if !filepath.IsAbs(path) {
			t.Errorf("%s is not absolute", path)
		}
	}
	if cfg.Identity.Cert != "" {
		t.Errorf("a path that was not given became %s", cfg.Identity.Cert)
	}
}

func TestSampleIsValid(t *testing.T) {
	if _, err := broker.LoadConfig("../deploy/sample/broker.yaml"); err != nil {
		t.Error(err)
	}
}

// TestConfigRefuses: each line of the minimal file, made wrong, is refused with words that lead to it.
func TestConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"unknown key":       {"policy: policy", "polcy: policy", `did you mean "policy"`},
		"version":           {"version: 1", "version: 2", "version: want 1"},
		"plain issuer":      {"https://broker.test", "http://broker.test", "issuer: want an https URL"},
		"issuer query":      {"https://broker.test", "https://broker.test/?x=1", "no query"},
		"no scheme":         {"https://broker.test", "broker.test", "no scheme"},
		"two stores":        {"key: env:KEY }", "key: env:KEY }, vault: { address: \"https://v.test\", auth: { role: r } }", "exactly one of sealed and vault"},
		"no store":          {"store: { sealed: { path: store, key: env:KEY } }", "store: {}", "exactly one of sealed and vault"},
		"secret in file":    {"env:KEY", "0123456789abcdef", "a secret may not stand here"},
		"identity twice":    {"unix:///run/agent.sock", "unix:///run/agent.sock, cert: c, key: k, bundles: { a.test: b }", "identity: want a socket, or all of"},
		"half an identity":  {"socket: unix:///run/agent.sock", "cert: c", "identity: want a socket, or all of"},
		"trust domain":      {"socket: unix:///run/agent.sock", "socket: unix:///run/agent.sock, allow: [\"spiffe://x y\"]", "not a trust domain"},
		"address":           {"mesh: 127.0.0.1:8443", "mesh: 8443x", "listen.mesh: want host:port"},
		"sync":              {"dir: audit", "dir: audit, sync: sometimes", "audit.sync"},
		"cert without key":  {"address: 127.0.0.1:8445", "address: 127.0.0.1:8445, cert: c.pem", "cert and key come together"},
		"mtls with a path":  {"address: 127.0.0.1:8445", "address: 127.0.0.1:8445, mtls: \"https://mtls.test/x\"", "listen.web.mtls"},
		"plain mtls":        {"address: 127.0.0.1:8445", "address: 127.0.0.1:8445, mtls: \"http://mtls.test\"", "listen.web.mtls"},
		"keys":              {"audit:", "keys: { algorithm: RS256 }\naudit:", "keys.algorithm"},
		"log level":         {"audit:", "telemetry: { log: loud }\naudit:", "telemetry.log"},
		"one port twice":    {"egress: 127.0.0.1:8444", "egress: 127.0.0.1:8443", "broker.yaml:4:"},
		"users over http":   {"audit:", "issuers: [{ issuer: http://idp.test, audience: [us] }]\naudit:", "broker.yaml:8:21: issuers[0]: want https"},
		"users for others":  {"audit:", "issuers: [{ issuer: https://idp.test, audience: [] }]\naudit:", "want what names us"},
		"users twice":       {"audit:", "issuers: [{ issuer: https://idp.test, audience: [us] }, { issuer: https://idp.test, audience: [them] }]\naudit:", "issuers[1]: https://idp.test is our own issuer, or given twice"},
		"our own users":     {"audit:", "issuers: [{ issuer: https://broker.test, audience: [us] }]\naudit:", "issuers[0]: https://broker.test is our own issuer"},
		"shared secrets":    {"audit:", "issuers: [{ issuer: https://idp.test, audience: [us], algorithms: [HS256] }]\naudit:", "none that only the issuer can sign with"},
		"fast rotation":     {"audit:", "keys: { rotate: 1s }\naudit:", "broker.yaml:8:17: keys.rotate: want at least 5m0s"},
		"limits":            {"audit:", "limits: { in_flight: -1 }\naudit:", "limits"},
		"missing directory": {"services: services\n", "", "services"},
	} {
		if !strings.Contains(minimal, c.old) {
			t.Fatalf("%s: %q is not in the file", name, c.old)
		}
		_, err := load(t, strings.Replace(minimal, c.old, c.new, 1))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q", name, err, c.says)
		} else if strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: the error repeats the secret", name)
		}
	}
}
