package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const explained = `# line 1
p, spiffe://a.test/web, call, service/crm/GET/**, allow
p, spiffe://a.test/web, call, service/crm/GET/internal/**, deny
p, role:reader, call, service/wiki/GET/**, allow
p, spiffe://a.test/night, call, service/wiki/GET/**, allow, r.time.hour < 6 && r.claims.level > 1
p, group:staff, call, service/crm/GET/**, allow
p, spiffe://a.test/web, vend, credential/crm/login, allow
g, role:editor, role:reader
g, spiffe://a.test/desk, role:editor
`

// told is what an explanation says, as text.
func told(e policy.Explanation) []string {
	out := []string{e.Why}
	for _, r := range e.Matched {
		out = append(out, "matched "+r.String())
	}
	for _, m := range e.NearMisses {
		out = append(out, "near "+m.Rule.String()+" "+m.Differs+" for "+m.For)
	}
	if e.SmallestGrant != "" {
		out = append(out, strings.Split(e.SmallestGrant, "\n")...)
	}
	if len(e.RolePath) > 0 {
		out = append(out, strings.Join(e.RolePath, " < "))
	}
	return out
}

func TestExplain(t *testing.T) {
	s := mustLoad(t, explained)
	for question, want := range map[string][]string{
		"spiffe://a.test/web call service/crm/GET/x": {
			"policy.csv:2 allows spiffe://a.test/web to call service/crm/GET/x",
			"matched policy.csv:2",
		},
		"spiffe://a.test/web call service/crm/GET/internal/x": {
			"policy.csv:3 forbids spiffe://a.test/web to call service/crm/GET/internal/x; a deny wins over every allow",
			"matched policy.csv:2", "matched policy.csv:3",
		},
		"spiffe://a.test/desk call service/wiki/GET/x": {
			"policy.csv:4 allows spiffe://a.test/desk to call service/wiki/GET/x, through spiffe://a.test/desk → role:editor → role:reader",
			"matched policy.csv:4", "spiffe://a.test/desk < role:editor < role:reader",
		},
		"spiffe://a.test/web call service/crm/DELETE/x": {
			"no rule allows spiffe://a.test/web to call service/crm/DELETE/x",
			"near policy.csv:2 resource for spiffe://a.test/web",
			"p, spiffe://a.test/web, call, service/crm/DELETE/x, allow",
		},
		"spiffe://a.test/web exchange credential/crm/login": {
			"no rule allows spiffe://a.test/web to exchange credential/crm/login",
			"near policy.csv:7 action for spiffe://a.test/web",
			"p, spiffe://a.test/web, exchange, credential/crm/login, allow",
		},
		"spiffe://a.test/api vend credential/crm/login": {
			"no rule allows spiffe://a.test/api to vend credential/crm/login",
			"near policy.csv:7 subject for spiffe://a.test/api",
			"p, spiffe://a.test/api, vend, credential/crm/login, allow",
		},
		"spiffe://a.test/night call service/wiki/GET/x": {
			"the condition of policy.csv:5 cannot be evaluated for spiffe://a.test/night to call service/wiki/GET/x: " +
				"No method or field 'level' present on parameter 'r_claims'; that denies, also beside an allow",
			"near policy.csv:4 subject for spiffe://a.test/night",
		},
		// what a rule cannot say literally becomes the narrowest wildcard
		"spiffe://a.test/api vend credential/a*b/{x}": {
			"no rule allows spiffe://a.test/api to vend credential/a*b/{x}",
			"p, spiffe://a.test/api, vend, credential/*/*, allow",
		},
		`spiffe://a.test/api vend credential/a,"b`: {
			`no rule allows spiffe://a.test/api to vend credential/a,"b`,
			`p, spiffe://a.test/api, vend, "credential/a,""b", allow`,
		},
		"spiffe://a.test/api dance pdp": {"no rule allows spiffe://a.test/api to dance pdp"},
	} {
		r := request(t, question)
		r.Time = r.Time.AddDate(2025, 0, 0) // at midnight
		e, err := s.Explain(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, told(e)); diff != "" {
			t.Errorf("%s:\n%s", question, diff)
		}
	}
}

func TestExplainUser(t *testing.T) {
	s := mustLoad(t, explained)
	r := request(t, "spiffe://a.test/web call service/crm/GET/x")
	r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "ann", Groups: []string{"staff", "x,y"}}
	e, err := s.Explain(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"policy.csv:2 allows spiffe://a.test/web, on behalf of user:https://i.test|ann, to call service/crm/GET/x, and policy.csv:6 allows it to the user",
		"matched policy.csv:2", "matched policy.csv:6",
	}, told(e)); diff != "" {
		t.Error(diff)
	}
	if e.UserRule == nil || e.UserRule.Line != 6 {
		t.Errorf("the user's rule is %v", e.UserRule)
	}
	r.Resource.ID = "crm/PUT/x"
	if e, err = s.Explain(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"no rule allows spiffe://a.test/web, on behalf of user:https://i.test|ann, to call service/crm/PUT/x",
		"near policy.csv:2 resource for spiffe://a.test/web", "near policy.csv:6 resource for group:staff",
		"p, spiffe://a.test/web, call, service/crm/PUT/x, allow", "p, user:https://i.test|ann, call, service/crm/PUT/x, allow",
	}, told(e)); diff != "" {
		t.Error(diff)
	}
}

// TestNoGrantForAStar: a user whose name is `*` cannot be named without naming everybody.
func TestNoGrantForAStar(t *testing.T) {
	r := request(t, "spiffe://a.test/web call service/crm/GET/x")
	r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "*"}
	e, err := mustLoad(t, explained).Explain(t.Context(), r)
	if err != nil || e.Allow || e.Reason != policy.ReasonUser || e.SmallestGrant != "" {
		t.Errorf("got %+v, %v", e, err)
	}
}

// TestNearMissesAreFew and begin with the nearest.
func TestNearMissesAreFew(t *testing.T) {
	s := mustLoad(t, strings.Repeat("p, spiffe://a.test/x, call, service/far/GET/x, allow\n", 50)+
		"p, spiffe://a.test/x, call, service/near/GET/y, allow\np, spiffe://a.test/x, call, service/near/GET/x, allow, r.time.hour > 24\n")
	e, err := s.Explain(t.Context(), request(t, "spiffe://a.test/x call service/near/GET/x"))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.NearMisses) != 10 || e.NearMisses[0].Differs != "condition" || e.NearMisses[1].Rule.Line != 51 {
		t.Errorf("got %+v", e.NearMisses)
	}
}

// TestNobody: who has no name, or one that could be read in two ways, is told nothing and allowed nothing.
func TestNobody(t *testing.T) {
	index, plain := both(t, "p, **, *, **, deny\n"+ok)
	id := spiffeid.RequireFromString("spiffe://a.test/x")
	for name, p := range map[string]identity.Principal{
		"zero":         {},
		"no issuer":    {Workload: identity.Workload{ID: id}, User: &identity.User{Subject: "x"}},
		"no subject":   {Workload: identity.Workload{ID: id}, User: &identity.User{Issuer: "x"}},
		"two readings": {Workload: identity.Workload{ID: id}, User: &identity.User{Issuer: "https://i.test|a", Subject: "b"}},
		"only a user":  {User: &identity.User{Issuer: "https://i.test", Subject: "x"}},
	} {
		for _, s := range []*policy.Snapshot{index, plain} {
			r := policy.Request{Principal: p, Action: "call", Resource: policy.Entity{Type: "service", ID: "y/z"}}
			if d, err := s.Decide(t.Context(), r); err == nil || d.Allow {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
			if e, err := s.Explain(t.Context(), r); err == nil || e.Allow {
				t.Errorf("%s: explained %+v, %v", name, e, err)
			}
		}
	}
}
