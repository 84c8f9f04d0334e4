package sidecar_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/sidecar"
)

const least = "version: 1\nidentity: { socket: unix:///run/spire/agent.sock }\nbrokers: { id: spiffe://example.org/broker, mesh: [broker:8443] }\n"

func load(t *testing.T, text string) (sidecar.Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sidecar.yaml")
	must(t, os.WriteFile(file, []byte(text), 0o600))
	return sidecar.Load(file)
}

func TestConfigLeast(t *testing.T) {
	if _, err := load(t, least); err != nil {
		t.Error(err)
	}
}

// TestConfigPaths: paths are relative to the file.
func TestConfigPaths(t *testing.T) {
	cfg, err := load(t, least+"listen: { socket: run/door.sock, uids: [0] }\nupstreams: { ca: /etc/ca.pem }\n")
	must(t, err)
	if !filepath.IsAbs(cfg.Listen.Socket) || !strings.HasSuffix(cfg.Listen.Socket, "/run/door.sock") || cfg.Upstreams.CA != "/etc/ca.pem" {
		t.Errorf("got %q, %q", cfg.Listen.Socket, cfg.Upstreams.CA)
	}
}

// TestConfigBundlePaths: those of the bundles too, which stand in a map.
func TestConfigBundlePaths(t *testing.T) {
	files := "identity: { cert: c.pem, key: k.pem, bundles: { example.org: ours.pem, example.com: /etc/theirs.pem } }"
	cfg, err := load(t, strings.Replace(least, "identity: { socket: unix:///run/spire/agent.sock }", files, 1))
	must(t, err)
	want := map[string]string{"example.org": filepath.Join(filepath.Dir(cfg.Identity.Cert), "ours.pem"), "example.com": "/etc/theirs.pem"}
	if got := cfg.Identity.Bundles; !filepath.IsAbs(cfg.Identity.Cert) || !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":              {"", "the file is empty"},
		"an unknown key":       {least + "lissten: {}\n", `sidecar.yaml:4:1`},
		"with a suggestion":    {least + "lissten: {}\n", `did you mean "listen"?`},
		"another version":      {strings.Replace(least, "1", "2", 1), "version: want 1"},
		"no identity":          {strings.Replace(least, "socket: unix:///run/spire/agent.sock", "wait: 1s", 1), "want a socket, or all of cert, key and bundles"},
		"no broker":            {strings.Replace(least, "[broker:8443]", "[]", 1), "at least one"},
		"a broker, no port":    {strings.Replace(least, "broker:8443", "broker", 1), "host:port"},
		"a broker, no ID":      {strings.Replace(least, "id: spiffe://example.org/broker, ", "", 1), "id"},
		"a broker, a URL":      {strings.Replace(least, "spiffe://", "https://", 1), "not a SPIFFE ID"},
		"open to all":          {least + "listen: { address: 0.0.0.0:4140 }\n", "not on loopback"},
		"open to all by name":  {least + "listen: { address: ':4140' }\n", "not on loopback"},
		"admin for all":        {least + "admin: 0.0.0.0:4141\n", "not on loopback"},
		"uids without socket":  {least + "listen: { uids: [0] }\n", "there is no socket"},
		"a bad trust domain":   {least + "upstreams: { trust_domains: ['a b'] }\n", "no trust domain"},
		"a bad service ID":     {least + "upstreams: { ids: { ledger: ledger } }\n", "not a SPIFFE ID"},
		"a bad level":          {least + "telemetry: { log: loud }\n", "telemetry.log"},
		"a duration, no unit":  {least + "stale: 10\n", "duration"},
		"a negative staleness": {least + "stale: -1s\n", "duration"},
	} {
		if _, err := load(t, test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %v", name, test.want, err)
		}
	}
}

func TestConfigMissingFile(t *testing.T) {
	if _, err := sidecar.Load("/nowhere/sidecar.yaml"); err == nil {
		t.Error("no error")
	}
}

// TestSample: the file that users begin with is one that we take.
func TestSample(t *testing.T) {
	if _, err := sidecar.Load("../deploy/sample/sidecar.yaml"); err != nil {
		t.Error(err)
	}
}
