package service_test

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/intercom-broker/intercom/broker/service"
)

// TestRarerKinds holds what the files say against the model, with all that may be left out and with all of it.
func TestRarerKinds(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  oauth2: { upstream: "https://a", inject: { oauth2: { token_url: "https://t/x?y=z", credential: a/b } } }
  oauth2-all: { upstream: "https://a", inject: { oauth2: { token_url: "https://t", credential: a, scope: [r, w], audience: b,
    resource: ["https://c"], params: { d: e }, auth: post, dial: [127.0.0.0/8] } } }
  sigv4: { upstream: "https://a", inject: { sigv4: { credential: a, region: eu-central-1, service: s3 } } }
  hmac: { upstream: "https://a", inject: { hmac: { credential: a } } }
  hmac-all: { upstream: "https://a", inject: { hmac: { credential: a, header: x-sig, timestamp: x-time, prefix: "v1=",
    headers: [content-type, host], body_limit: 2KiB } } }
  many: { upstream: "https://a", inject: { certificate: { credential: one }, header: { name: x-key, credential: two }, query: { name: q, credential: one } } }
`)
	want := map[string]*service.Inject{
		"oauth2": {OAuth2: &service.OAuth2{TokenURL: parseURL(t, "https://t/x?y=z"), Credential: "a/b"}},
		"oauth2-all": {OAuth2: &service.OAuth2{
			TokenURL: parseURL(t, "https://t"), Credential: "a", Scope: []string{"r", "w"}, Audience: "b", Resource: []string{"https://c"},
			Params: map[string]string{"d": "e"}, Post: true, Dial: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}},
		"sigv4": {SigV4: &service.SigV4{Credential: "a", Region: "eu-central-1", Service: "s3", BodyLimit: 1 << 20}},
		"hmac":  {HMAC: &service.HMAC{Credential: "a", Header: "X-Signature", Timestamp: "X-Timestamp", BodyLimit: 1 << 20}},
		"hmac-all": {HMAC: &service.HMAC{
			Credential: "a", Header: "X-Sig", Timestamp: "X-Time", Prefix: "v1=", Headers: []string{"Content-Type", "Host"}, BodyLimit: 2 << 10,
		}},
		"many": {
			Certificate: &service.CredentialRef{Credential: "one"}, Header: &service.HeaderRef{Name: "X-Key", Credential: "two"},
			Query: &service.QueryRef{Name: "q", Credential: "one"},
		},
	}
	for name, inject := range want {
		s, _ := c.Get(name)
		if diff := cmp.Diff(inject, s.Inject, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if s, _ := c.Get("many"); !cmp.Equal(s.Inject.Credentials(), []string{"one", "two"}) {
		t.Errorf("credentials %q", s.Inject.Credentials())
	}
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
