package service_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/service"
)

// sample is the front page's.
const sample = `version: 1
owner: team-warehouse
services:
  inventory: http://inventory.internal:8080        # a token for audience "inventory"
  ledger:
    upstream: https://ledger.internal
    token: { audience: ledger, scope: [read], bind: svid }
  crm:
    upstream: { url: "https://localhost:8443", dial: [127.0.0.0/8] }
    inject: { basic: { credential: crm/login } }
  reports:
    vend: { credential: reports/db, ttl: 15m, stale: 10m }
`

func parse(t *testing.T, file string) *service.Catalog {
	t.Helper()
	c, err := service.Parse(map[string][]byte{"team.yaml": []byte(file)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// line is one service in one line, for comparison.
type line struct {
	Name, Owner, Pos, Mode, URL, Audience, Bind, Credential, TTL, Stale string
	Scope                                                               []string
	Dial                                                                int
}

func flat(s *service.Service) line {
	l := line{Name: s.Name, Owner: s.Owner, Pos: s.Pos, Mode: string(s.Mode), Stale: s.Stale.String(), Dial: len(s.Upstream.Dial)}
	if s.Upstream.URL != nil {
		l.URL = s.Upstream.URL.String()
	}
	if s.Token != nil {
		l.Audience, l.Bind, l.Scope = s.Token.Audience, string(s.Token.Bind), s.Token.Scope
	}
	if s.Inject != nil {
		l.Credential = s.Inject.Credentials()[0]
	}
	if s.Vend != nil {
		l.Credential, l.TTL = s.Vend.Credential, s.Vend.TTL.String()
	}
	return l
}

func TestSample(t *testing.T) {
	c := parse(t, sample)
	var got []line
	for _, s := range c.All() {
		got = append(got, flat(s))
	}
	const owner, stale = "team-warehouse", "10m0s"
	want := []line{
		{Name: "crm", Owner: owner, Pos: "team.yaml:8:3", Mode: "inject", URL: "https://localhost:8443", Dial: 1, Credential: "crm/login", Stale: stale},
		{Name: "inventory", Owner: owner, Pos: "team.yaml:4:3", Mode: "token", URL: "http://inventory.internal:8080", Audience: "inventory", Bind: "none", Stale: stale},
		{Name: "ledger", Owner: owner, Pos: "team.yaml:5:3", Mode: "token", URL: "https://ledger.internal", Audience: "ledger", Bind: "svid", Scope: []string{"read"}, Stale: stale},
		{Name: "reports", Owner: owner, Pos: "team.yaml:11:3", Mode: "vend", Credential: "reports/db", TTL: "15m0s", Stale: stale},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
