package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/policy"
)

func knownNames() policy.Known {
	return policy.Known{
		Services:    map[string]string{"crm": "", "ledger": "its callers call it themselves"},
		Audiences:   map[string]string{"ledger": "", "https://api.test/v1": "", "minted": "its token is put into calls"},
		Credentials: map[string]string{"crm/login": "it is put into calls", "reports/db": ""},
		Domains:     []string{"a.test", "partner.test"},
	}
}

// TestLint: a rule that names nothing that exists is a slip of the pen, and as a deny it is a hole.
func TestLint(t *testing.T) {
	for rule, want := range map[string]string{
		"call, service/crm/GET/**, allow":               "",
		"call, service/*/GET/**, allow":                 "",
		"call, service/**, deny":                        "",
		"call, service/*, deny":                         "29 rule-void never matches: calls are about service/NAME/METHOD/PATH (write service/*/** for all of its methods)",
		"call, service/cmr/GET/**, allow":               `29 rule-unknown-name service "cmr" stands in no service file (did you mean "crm"?)`,
		"call, service/ledger/GET/x, allow":             "29 rule-no-effect allows what never happens: its callers call it themselves",
		"call, service/ledger/GET/x, deny":              "",
		"exchange, audience/ledger, allow":              "",
		"exchange, audience/https://api.test/v1, allow": "",
		"exchange, audience/https://api.test/*, allow":  "",
		"exchange, audience/leger, deny":                `33 rule-unknown-name audience "leger" stands in no service file, so this denies nothing (did you mean "ledger"?)`,
		"exchange, audience/minted, allow":              "33 rule-no-effect allows what never happens: its token is put into calls",
		"introspect, audience/minted, allow":            "",
		"vend, credential/reports/*, allow":             "",
		"vend, credential/crm/login, allow":             "29 rule-no-effect allows what never happens: it is put into calls",
		"vend, credential/crm/login, deny":              "",
		"vend, credential/crm/logon, allow":             `29 rule-unknown-name credential "crm/logon" stands in no service file (did you mean "crm/login"?)`,
		"*, credential/**, deny":                        "",
		"*, **, deny":                                   "",
		"explain, pdp, allow":                           "",
	} {
		s := mustLoad(t, "p, spiffe://a.test/x, "+rule+"\n")
		if got := listed(s.Lint(knownNames())); got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", rule, got, want)
		}
		if got := s.Lint(policy.Known{}); len(got) > 0 {
			t.Errorf("%s: knowing nothing, it finds %v", rule, got)
		}
	}
}

func listed(found []policy.Finding) string {
	var lines []string
	for _, f := range found {
		line := fmt.Sprintf("%d %s %s", f.Column, f.ID, f.Message)
		if f.Cure != "" {
			line += " (" + f.Cure + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestLintDomains(t *testing.T) {
	s := mustLoad(t, "  p, spiffe://a.tset/x/**, call, service/crm/**, allow\np, spiffe://other.example/y, call, service/crm/**, deny\np, user:https://i|u, call, service/crm/**, allow\n")
	linked := mustLoad(t, "g, spiffe://a.tset/x, role:r\np, role:r, call, service/crm/**, allow\n").Lint(knownNames())
	if len(linked) != 1 || linked[0].Line != 1 || linked[0].ID != policy.FindingForeigner {
		t.Errorf("got %v", linked)
	}
	users := mustLoad(t, "g, user:https://idp.tset|u, role:r\np, role:r, call, service/crm/**, allow\np, user:https://idp.test|*, call, service/crm/**, allow\n")
	names := knownNames()
	names.Issuers = []string{"https://idp.test"}
	if found := users.Lint(names); len(found) != 1 || found[0].Line != 1 || found[0].Cure != `did you mean "https://idp.test"?` {
		t.Errorf("got %v", found)
	}
	want := `13 rule-foreign workloads of trust domain "a.tset" are not let in, so this never matches (did you mean "a.test"?)
13 rule-foreign workloads of trust domain "other.example" are not let in, so this never matches (let it in by identity.allow, if it should be)`
	got := s.Lint(knownNames())
	if got[0].Column != 15 {
		t.Errorf("with two spaces before it, the domain stands in column %d", got[0].Column)
	}
	got[0].Column -= 2
	if diff := cmp.Diff(want, listed(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"a.tset": 1, "other.example": 1}, s.Domains()); diff != "" {
		t.Error(diff)
	}
}

// TestShadowed holds covers by what it says of rules: an allow is shadowed only where no request is left
// that it could allow.
func TestShadowed(t *testing.T) {
	for denial, shadows := range map[string]bool{
		"p, spiffe://a.test/b/x, call, service/crm/GET/**, deny":                   true,
		"p, spiffe://a.test/b/*, *, service/crm/**, deny":                          true,
		"p, spiffe://a.test/**, call, service/*/GET/**, deny":                      true,
		"p, role:all, call, **, deny":                                              true,
		"p, **, *, **, deny":                                                       true,
		"p, spiffe://a.test/b/x, call, service/crm/GET/*, deny":                    false,
		"p, spiffe://a.test/b/x, call, service/crm/GET/a/**, deny":                 false,
		"p, spiffe://a.test/b/x, vend, **, deny":                                   false,
		"p, spiffe://a.test/*, call, **, deny":                                     false,
		"p, spiffe://b.test/**, call, **, deny":                                    false,
		"p, role:some, call, **, deny":                                             false,
		"p, **, *, **, deny, r.time.unix < '2026-01-01T00:00:00Z'":                 false,
		"p, user:https://i|*, call, service/crm/GET/**, deny":                      false,
		"p, spiffe://a.test/b/x, call, service/crm/GET/**, allow, r.time.hour > 1": false,
	} {
		s := mustLoad(t, "g, spiffe://a.test/b/x, role:all\ng, spiffe://a.test/y, role:some\np, spiffe://a.test/b/x, call, service/crm/GET/**, allow\n"+denial+"\n")
		found := s.Lint(policy.Known{})
		if got := len(found) > 0; got != shadows {
			t.Errorf("%s: %v", denial, found)
		}
		if got := s.Grants("call", policy.Entity{Type: "service", ID: "crm"}); got == shadows {
			t.Errorf("%s: granted: %v", denial, got)
		}
	}
}

func TestGrants(t *testing.T) {
	s := mustLoad(t, `g, spiffe://a.test/x, role:a
g, role:a, role:b
p, role:b, call, service/inner/GET/*, allow
p, role:c, call, service/nobody/GET/*, allow
p, group:people, call, service/people/GET/**, allow
p, spiffe://a.test/**, exchange, audience/wide/*, allow
p, spiffe://a.test/**, call, service/*, allow
p, spiffe://a.test/**, vend, service/odd/GET/x, allow
`)
	for question, want := range map[string]bool{
		"call service/inner": true, "call service/nobody": false, "call service/people": false, "call service/odd": false,
		"exchange audience/wide/x": true, "exchange audience/wide": false, "vend credential/x": false,
	} {
		r := request(t, "spiffe://a.test/x "+question)
		if got := s.Grants(r.Action, r.Resource); got != want {
			t.Errorf("%s: %v", question, got)
		}
	}
}
