package policy_test

import (
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

// ownModel is an operator's: Casbin's priority effect, a domain, and a look at the context.
const ownModel = `
[request_definition]
r = subject, resource, action, context
[policy_definition]
p = subject, resource, eft
[role_definition]
g = _, _
[policy_effect]
e = priority(p.eft) || deny
[matchers]
m = g(r.subject, p.subject) && keyMatch(r.resource, p.resource) && r.context.region == "eu"
`

func TestOwnModel(t *testing.T) {
	s, err := policy.LoadFS(files("model.conf", ownModel, "policy.csv", `
p, admins, service/crm/secret*, deny
p, admins, service/*, allow
g, spiffe://a.test/ops, admins
`))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Custom() || len(s.Warnings()) != 1 {
		t.Fatalf("custom %v, warnings %q", s.Custom(), s.Warnings())
	}
	for question, want := range map[string]bool{
		"spiffe://a.test/ops call service/crm/x":        true,
		"spiffe://a.test/ops call service/crm/secret/x": false,
		"spiffe://a.test/web call service/crm/x":        false,
	} {
		r := request(t, question)
		r.Context = map[string]any{"region": "eu"}
		e, err := s.Explain(t.Context(), r)
		if err != nil || e.Allow != want {
			t.Errorf("%s: %+v %v", question, e, err)
		}
		if want && (e.Rule == nil || e.Rule.Line != 3) {
			t.Errorf("%s: decided by %v", question, e.Rule)
		}
		r.Context = nil // what the matcher reads is missing, where it gets that far
		if d, err := s.Decide(t.Context(), r); err != nil || d.Allow || (d.Err == nil) == strings.Contains(question, "ops") {
			t.Errorf("%s without a region: %+v %v", question, d, err)
		}
	}
}

// TestOwnModelWithoutRules: some effects allow what nothing denies.
func TestOwnModelWithoutRule(t *testing.T) {
	own := strings.Replace(ownModel, "priority(p.eft) || deny", "!some(where (p.eft == deny))", 1)
	s, err := policy.LoadFS(files("model.conf", own, "policy.csv", "p, spiffe://a.test/bad, service/*, deny\n"))
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]bool{"spiffe://a.test/good": true, "spiffe://a.test/bad": false} {
		r := request(t, subject+" call service/x")
		r.Context = map[string]any{"region": "eu"}
		if e, err := s.Explain(t.Context(), r); err != nil || e.Allow != want || e.Why == "" {
			t.Errorf("%s: %+v %v", subject, e, err)
		}
	}
}

func TestOwnModelRefused(t *testing.T) {
	for name, c := range map[string]struct{ model, csv, want string }{
		"no model":         {"nonsense", "", "model.conf: "},
		"no sections":      {"[matchers]\nm = true\n", "", "missing required sections"},
		"unknown part":     {strings.Replace(ownModel, "context", "weather", 1), "", `unknown part "weather" of a request`},
		"unknown function": {strings.Replace(ownModel, "keyMatch", "keyMitch", 1), "", "matcher"},
		"unknown effect":   {strings.Replace(ownModel, "priority(p.eft) || deny", "whatever", 1), "", `unsupported policy_effect "whatever"`},
		"columns":          {ownModel, "p, a, b\n", `policy.csv:1: 2 columns after p; the model has 3`},
		"effect":           {ownModel, "\np, a, b, Deny\n", `policy.csv:2: unknown effect "Deny"`},
		"type":             {ownModel, "p2, a, b, deny\n", `policy.csv:1: model.conf has no "p2"`},
		"empty type":       {ownModel, ", a\n", `model.conf has no ""`},
	} {
		_, err := policy.LoadFS(files("model.conf", c.model, "policy.csv", c.csv))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// TestOwnModelWithoutRules: Casbin calls it an error when a matcher calls eval and there is no rule.
func TestOwnModelWithoutRules(t *testing.T) {
	_, plain := both(t, "")
	if d := decide(t, plain, question); d.Allow || d.Err != nil || d.Reason != policy.ReasonUnmatched {
		t.Errorf("got %+v", d)
	}
}

// TestRulesWithCommas: Casbin's own loader takes the second of these for a repetition of the first.
func TestRulesWithCommas(t *testing.T) {
	s, err := policy.LoadFS(files("model.conf", ownModel, "policy.csv", `
p, "admins,service/a", service/b, deny
p, admins, "service/a,service/b", deny
p, admins, service/*, allow
g, spiffe://a.test/ops, admins
`))
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "spiffe://a.test/ops call service/a,service/b")
	r.Context = map[string]any{"region": "eu"}
	if d, err := s.Decide(t.Context(), r); err != nil || d.Allow || d.Rule == nil || d.Rule.Line != 3 {
		t.Errorf("got %+v, %v", d, err)
	}
}

// TestFirstDenyOfManyNames: Casbin is asked once for each group, and the first rule counts all the same.
func TestFirstDenyOfManyNames(t *testing.T) {
	index, plain := both(t, ok+"\np, group:b, call, service/y/**, deny\np, group:a, call, service/y/**, deny\n")
	r := request(t, question)
	r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Groups: []string{"a", "b"}}
	for name, s := range map[string]*policy.Snapshot{"index": index, "casbin": plain} {
		if d, err := s.Decide(t.Context(), r); err != nil || d.Rule == nil || d.Rule.Line != 2 {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestOwnModelFails: what goes wrong inside of Casbin denies, and says so. regexMatch panics at what is no
// regular expression, and a member of what is no map is an error.
func TestOwnModelFails(t *testing.T) {
	for name, matcher := range map[string]string{
		"a function that panics":   `regexMatch(r.resource, p.resource)`,
		"a member that is missing": `r.context.region.name == "eu"`,
		"no answer":                `r.context.level`,
		"beside a rule that holds": `p.resource == "service/x" || regexMatch(r.resource, p.resource)`,
	} {
		own := strings.Replace(ownModel, `g(r.subject, p.subject) && keyMatch(r.resource, p.resource) && r.context.region == "eu"`, matcher, 1)
		s, err := policy.LoadFS(files("model.conf", own, "policy.csv", "p, a, (, allow\np, a, service/x, allow\n"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if strings.HasPrefix(name, "beside") {
			s, err = policy.LoadFS(files("model.conf", strings.Replace(own, "priority(p.eft) || deny", "some(where (p.eft == allow)) && !some(where (p.eft == deny))", 1),
				"policy.csv", "p, a, service/x, allow\np, a, (, allow\n"))
			if err != nil {
				t.Fatal(err)
			}
		}
		r := request(t, "spiffe://a.test/ops call service/x")
		r.Context = map[string]any{"region": "eu", "level": "high"}
		e, err := s.Explain(t.Context(), r)
		if err != nil || e.Allow || e.Err == nil || e.Reason != policy.ReasonFailed || !strings.Contains(e.Why, "that denies") {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

// TestOwnModelExplained: the rule that decided comes from Casbin's EnforceEx, and nothing is said of
// denials that win, which in this model they do not.
func TestOwnModelExplained(t *testing.T) {
	own := strings.Replace(ownModel, "priority(p.eft) || deny", "some(where (p.eft == allow))", 1)
	s, err := policy.LoadFS(files("model.conf", own, "policy.csv", "p, admins, service/*, deny\np, admins, service/x, allow\ng, spiffe://a.test/ops, admins\n"))
	if err != nil {
		t.Fatal(err)
	}
	for question, want := range map[string]string{
		"spiffe://a.test/ops call service/x": "by model.conf, policy.csv:2 allows spiffe://a.test/ops to call service/x",
		"spiffe://a.test/ops call service/y": "by model.conf no rule allows spiffe://a.test/ops to call service/y",
	} {
		r := request(t, question)
		r.Context = map[string]any{"region": "eu"}
		if e, err := s.Explain(t.Context(), r); err != nil || e.Why != want || e.SmallestGrant != "" {
			t.Errorf("%s: %q, %v", question, e.Why, err)
		}
	}
}
