package service_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/service"
)

func TestInjectKinds(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  basic: { upstream: "https://a", inject: { basic: { credential: a/b }, stale: 0s } }
  bearer: { upstream: "https://a", inject: { bearer: { credential: a.b_c-d } } }
  mint: { upstream: "https://a", inject: { bearer: { mint: { audience: m, scope: [x, y] } } } }
  header: { upstream: "https://a", inject: { header: { name: x-api-key, prefix: "Token ", credential: k } } }
`)
	want := map[string]*service.Inject{
		"basic":  {Basic: &service.CredentialRef{Credential: "a/b"}},
		"bearer": {Bearer: &service.CredentialRef{Credential: "a.b_c-d"}},
		"mint":   {Mint: &service.Mint{Audience: "m", Scope: []string{"x", "y"}}},
		"header": {Header: &service.HeaderRef{Name: "X-Api-Key", Prefix: "Token ", Credential: "k"}},
	}
	credentials := map[string][]string{"basic": {"a/b"}, "bearer": {"a.b_c-d"}, "mint": nil, "header": {"k"}}
	for name, inject := range want {
		s, _ := c.Get(name)
		if diff := cmp.Diff(inject, s.Inject); diff != "" || !cmp.Equal(s.Inject.Credentials(), credentials[name]) {
			t.Errorf("%s: credentials %q\n%s", name, s.Inject.Credentials(), diff)
		}
	}
	if s, _ := c.Get("basic"); s.Stale != 0 {
		t.Errorf("a written zero became %s", s.Stale)
	}
	if s, _ := c.Get("mint"); s.Stale != service.DefaultStale {
		t.Errorf("stale is %s", s.Stale)
	}
}

func TestTokenForms(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  line: https://a:443/base
  plain: http://b
  implied: { upstream: { url: "https://c/" } }
  app: { token: { bind: none, audience: "https://app.example/x" } }
  mine: { upstream: "HTTPS://C:443", token: { bind: none, stale: 1h } }
`)
	type form struct {
		Audience, Origin, Path string
		Bind                   service.Bind
		Stale                  time.Duration
	}
	want := map[string]form{
		"line":    {"line", "https://a", "/base", service.BindSVID, service.DefaultStale},
		"plain":   {"plain", "http://b", "", service.BindNone, service.DefaultStale},
		"implied": {"implied", "https://c", "", service.BindSVID, service.DefaultStale},
		"app":     {"https://app.example/x", "", "", service.BindNone, service.DefaultStale},
		"mine":    {"mine", "https://c", "", service.BindNone, time.Hour},
	}
	got := map[string]form{}
	for _, s := range c.All() {
		f := form{Audience: s.Token.Audience, Origin: s.Upstream.Origin(), Bind: s.Token.Bind, Stale: s.Stale}
		if s.Upstream.URL != nil {
			f.Path = s.Upstream.URL.Path
		}
		got[s.Name] = f
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestTargets: the first stands for all where one place is meant.
func TestTargets(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  many: { upstream: { targets: [ "https://a/v1", "https://b:443/v1", "https://a:8443/v1" ], dial: [10.0.0.0/8] } }
  one: http://c/
  root: { upstream: { targets: [ "https://a/", "https://d" ] }, token: { bind: none } }
  app: { token: { bind: none } }
`)
	got := map[string][]string{}
	for _, s := range c.All() {
		got[s.Name] = []string{s.Upstream.Origin()}
		for _, target := range s.Upstream.Targets {
			got[s.Name] = append(got[s.Name], target.String())
		}
	}
	want := map[string][]string{
		"many": {"https://a", "https://a/v1", "https://b:443/v1", "https://a:8443/v1"}, "one": {"http://c", "http://c"},
		"root": {"https://a", "https://a", "https://d"}, "app": {""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for origin, names := range map[string]int{"https://a": 2, "https://b": 1, "https://a:8443": 1, "https://d": 1, "https://e": 0} {
		if got := c.ByOrigin(origin); len(got) != names {
			t.Errorf("%s is of %d services, want %d", origin, len(got), names)
		}
	}
}

func TestCatalogue(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  one: { upstream: "https://shared/one", token: { audience: first } }
  two: https://shared/two
  db: { vend: { credential: x/db } }
  db-ro: { vend: { credential: x/db } }
`)
	names := func(list []*service.Service) (names []string) {
		for _, s := range list {
			names = append(names, s.Name)
		}
		return names
	}
	got := map[string][]string{
		"all": names(c.All()), "origin": names(c.ByOrigin("https://shared")), "no origin": names(c.ByOrigin("https://other")),
		"vending": names(c.Vending("x/db")), "vending nothing": names(c.Vending("x")),
	}
	want := map[string][]string{
		"all": {"db", "db-ro", "one", "two"}, "origin": {"one", "two"}, "no origin": nil, "vending": {"db", "db-ro"}, "vending nothing": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s, ok := c.ByAudience("first"); !ok || s.Name != "one" {
		t.Errorf("audience first is %v", s)
	}
	if _, ok := c.ByAudience("one"); ok {
		t.Error("a name is an audience although the file gives another")
	}
	var zero service.Catalog
	if _, ok := zero.Get("a"); ok || zero.All() != nil || zero.Revision() != "" {
		t.Error("the zero Catalog is not empty")
	}
}

func TestFindings(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  line: http://b
  long: { upstream: "http://b", token: { bind: none } }
  fine: https://a
  clear: { upstream: "http://b", inject: { basic: { credential: c } } }
  home: { upstream: "https://localhost:8443" }
  opened: { upstream: { url: "https://127.0.0.1:8443", dial: [127.0.0.0/8] } }
  metadata: { upstream: { url: "http://169.254.169.254", dial: [127.0.0.0/8] }, token: { bind: none } }
  six: { upstream: "https://[::1]:1" }
  mapped: { upstream: "https://[::ffff:127.0.0.1]:1" }
  private: { upstream: "https://10.0.0.1" }
  tokens: { upstream: { url: "https://[::1]:1", dial: ["::1/128"] }, inject: { oauth2: { token_url: "https://localhost", credential: c } } }
  many: { upstream: { targets: [ "https://m", "https://127.0.0.1:1", "https://127.0.0.1:2" ] } }
  query: { upstream: "https://a", inject: { query: { name: key, credential: c } } }
`)
	var got []string
	for _, f := range service.Check(c) {
		got = append(got, f.String())
	}
	want := []string{
		`team.yaml:7:3: service "clear": the upstream is plain http: the injected credential travels in the clear`,
		`team.yaml:8:3: service "home": unreachable: the dial guard refuses 127.0.0.1 unless dial opens it`,
		`team.yaml:4:3: service "line": the one-line form of a plain http upstream implies bind: none: whoever gets hold of a token can use it`,
		`team.yaml:4:3: service "line": unreachable by resource: its origin http://b is also that of service "long" at team.yaml:5:3`,
		`team.yaml:5:3: service "long": unreachable by resource: its origin http://b is also that of service "line" at team.yaml:4:3`,
		`team.yaml:15:3: service "many": unreachable: the dial guard refuses 127.0.0.1 unless dial opens it`,
		`team.yaml:12:3: service "mapped": unreachable: the dial guard refuses 127.0.0.1 unless dial opens it`,
		`team.yaml:10:3: service "metadata": unreachable: the dial guard refuses 169.254.169.254 unless dial opens it`,
		`team.yaml:16:3: service "query": the credential travels in the query, which ends in the logs of the service and of all that stands before it`,
		`team.yaml:11:3: service "six": unreachable: the dial guard refuses ::1 unless dial opens it`,
		`team.yaml:14:3: service "tokens": oauth2.token_url is unreachable: the dial guard refuses 127.0.0.1 unless dial opens it`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if empty := service.Check(&service.Catalog{}); len(empty) != 1 || empty[0].String() != "no services: nothing can be reached" {
		t.Errorf("got %v", empty)
	}
}

// TestFindingsOfPairs: what is fine alone and not beside another.
func TestFindingsOfPairs(t *testing.T) {
	c := parse(t, `version: 1
owner: " "
services:
  a: { upstream: "https://x/y", inject: { basic: { credential: c } } }
  b: { upstream: "https://x/y", inject: { bearer: { credential: c } } }
  other: { upstream: "https://x/y", inject: { basic: { credential: d } } }
  minted: { upstream: "https://x/y", inject: { bearer: { mint: { audience: m } } } }
  short: { vend: { credential: e, ttl: 1m } }
  long: { vend: { credential: e, ttl: 2m } }
`)
	ids := map[string]int{}
	for _, f := range service.Check(c) {
		ids[f.ID]++
		if f.Cure == "" {
			t.Errorf("%v has no cure", f)
		}
		if f.ID == service.FindingDuplicate && (f.Service != "b" || f.Pos != "team.yaml:5:3") {
			t.Errorf("got %v", f)
		}
		if f.ID == service.FindingVendTwice && f.Service != "long" {
			t.Errorf("got %v", f)
		}
	}
	want := map[string]int{service.FindingOwnerBlank: 6, service.FindingDuplicate: 1, service.FindingVendTwice: 1}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
}
