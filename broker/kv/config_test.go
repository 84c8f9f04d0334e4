package kv_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/kv"
	"github.com/intercom-broker/intercom/broker/strict"
)

func TestConfig(t *testing.T) {
	const file = `
addresses: [a:26379, b:26379]
sentinel: { primary: sessions, password: "file:/s" }
tls: { ca: ca.pem, server_name: redis.internal }
username: app
password: vault:redis/gateway#password
timeout: 300ms
`
	var got kv.Config
	if err := strict.Decode("gateway.yaml", []byte(file), &got); err != nil {
		t.Fatal(err)
	}
	want := kv.Config{
		Addresses: []string{"a:26379", "b:26379"},
		Sentinel:  kv.Sentinel{Primary: "sessions", Password: strict.Ref{Scheme: "file", Name: "/s"}},
		TLS:       &kv.TLS{CA: "ca.pem", ServerName: "redis.internal"},
		Username:  "app", Password: strict.Ref{Scheme: "vault", Name: "redis/gateway", Field: "password"},
		Timeout: strict.Duration(300 * time.Millisecond),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConfigRefuses(t *testing.T) {
	for file, want := range map[string]string{
		"addresses: []":                                                 "gateway.yaml:1:12: want at least one address",
		"addresses: [redis]":                                            "gateway.yaml:1:13: want host:port",
		"addresses: ['a:1', 'b:1']":                                     "several addresses are those of sentinels or of a cluster",
		"addresses: ['a:1']\nsilence: 1ms":                              "gateway.yaml:2:10: want at least 250ms",
		"addresses: ['a:1']\npassword: hunter2\n":                       "a secret may not stand here",
		"addresses: ['a:1']\ncluster: true\nsentinel: { primary: p }\n": "a cluster has no sentinels",
		"addresses: ['a:1']\ntls: { cert: c.pem }\n":                    "want both cert and key",
		"addresses: ['a:1']\ntls: { ca: c.pem, insecure: true }\n":      `unknown key "insecure"`,
		"addresses: ['a:1']\nsentinel: { username: u }\n":               `missing key "primary"`,
	} {
		err := strict.Decode("gateway.yaml", []byte(file), new(kv.Config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", file, err, want)
		}
	}
}
