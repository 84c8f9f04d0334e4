package stack_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

func TestOIDCProvider(t *testing.T) {
	a := stack.NewAuthority(t)
	p := stack.StartOIDCProvider(t, stack.OIDCProviderOptions{Authority: a})
	u, err := url.Parse(p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool(), ServerName: u.Hostname()}}}
	resp, err := c.Get("https://127.0.0.1:" + u.Port() + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var metadata struct{ Issuer string }
	if err := json.NewDecoder(resp.Body).Decode(&metadata); err != nil || metadata.Issuer != p.Issuer {
		t.Errorf("%q, want %q (%v)", metadata.Issuer, p.Issuer, err)
	}
	p.Forget(t, "alice")
}
