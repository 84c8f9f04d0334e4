package strict_test

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/strict"
)

func TestURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://ledger.internal":      "",
		"http://[::1]:8080/base":       "",
		"inventory.internal:8080":      `f:1:9: issuer: the URL has no scheme: want https:// or http:// before it; did you mean "https://inventory.internal:8080"?`,
		"inventory":                    `f:1:9: issuer: the URL has no scheme: want https:// or http:// before it; did you mean "https://inventory"?`,
		"//inventory":                  `f:1:9: issuer: the URL has no scheme: want https:// or http:// before it`,
		"https:///path":                `f:1:9: issuer: the URL names no host`,
		"https://:8080":                `f:1:9: issuer: the URL names no host`,
		"https://a:b@host":             `f:1:9: issuer: a URL holds no user and no password here: put them into the credential store`,
		"https://a@host":               `f:1:9: issuer: a URL holds no user and no password here: put them into the credential store`,
		"https://host#frag":            `f:1:9: issuer: a URL has no fragment here`,
		"'https://host#'":              `f:1:9: issuer: a URL has no fragment here`,
		"https://host:0":               `f:1:9: issuer: want a port from 1 to 65535`,
		"https://host:70000":           `f:1:9: issuer: want a port from 1 to 65535`,
		"'https://host:'":              `f:1:9: issuer: want a port from 1 to 65535`,
		"https://user:pl4nted@ho st/x": `f:1:9: issuer: not a URL: want one such as https://ledger.internal`,
		"user:pl4nted@host":            `f:1:9: issuer: the URL has no scheme: want https:// or http:// before it`,
	} {
		expect(t, "issuer: "+text+"\n", want)
	}
}

func TestRef(t *testing.T) {
	const wanted = "a reference to a secret: vault:path#field, file:/path or env:NAME"
	for text, want := range map[string]string{
		"vault:intercom/keys#signing": "",
		"file:/etc/intercom/key":      "",
		"env:INTERCOM_KEY_2":          "",
		"pl4nted-s3cret":              "f:1:6: key: a secret may not stand here: want " + wanted,
		"'pl4nted: s3cret'":           "f:1:6: key: a secret may not stand here: want " + wanted,
		"12345678":                    "f:1:6: key: want " + wanted + ", got a number: put it in quotes if it is meant as text",
		"[pl4nted]":                   "f:1:6: key: want " + wanted + ", got a list",
		"vault:pl4nted":               "f:1:6: key: a reference to Vault names a path and a field: vault:path#field",
		"'vault:#f'":                  "f:1:6: key: a reference to Vault names a path and a field: vault:path#field",
		"'vault:p#'":                  "f:1:6: key: a reference to Vault names a path and a field: vault:path#field",
		"file:pl4nted":                "f:1:6: key: a reference to a file is an absolute path: file:/path",
		"env:pl4nted-s3cret":          "f:1:6: key: a reference to the environment is a variable's name: env:NAME",
		"env:4NAME":                   "f:1:6: key: a reference to the environment is a variable's name: env:NAME",
		"'env:'":                      "f:1:6: key: a reference to the environment is a variable's name: env:NAME",
	} {
		expect(t, "key: "+text+"\n", want)
	}
}

func TestSizeAndDuration(t *testing.T) {
	for text, want := range map[string]string{
		"limit: 64MiB": "", "limit: 4096": "", "limit: 0": "", "limit: 1GiB": "", "limit: 512B": "",
		"limit: -1":   `f:1:8: limit: want a size such as 64MiB, got "-1"`,
		"limit: 1.5":  `f:1:8: limit: want a size such as 64MiB, got a number`,
		"limit: []":   `f:1:8: limit: want a size such as 64MiB, got a list`,
		"life: 0s":    "",
		"life: 1h30m": "",
		"life: {}":    `f:1:7: life: want a duration such as 15m, got a mapping`,
	} {
		expect(t, text+"\n", want)
	}
	var c config
	if err := strict.Decode("f", []byte("limit: 3KiB\n"), &c); err != nil || c.Limit != 3072 {
		t.Errorf("3KiB is %d, %v", c.Limit, err)
	}
}

// expect also holds that what may be a secret is never repeated.
func expect(t *testing.T, file, want string) {
	t.Helper()
	var c config
	got := ""
	if err := strict.Decode("f", []byte(file), &c); err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%q:\ngot  %s\nwant %s", file, got, want)
	}
	if strings.Contains(got, "pl4nted") {
		t.Errorf("%q: the refusal repeats the secret: %s", file, got)
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"upstream", "inject", "token", "vend", "body_limit"}
	for word, want := range map[string]string{
		"upsteam": "upstream", "Upstream": "upstream", "injekt": "inject", "tokens": "token", "vent": "vend",
		"bodylimit": "body_limit", "body-limit": "body_limit", "zzz": "", "": "", "x": "", strings.Repeat("u", 500): "",
	} {
		if got := strict.Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}
