package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
)

// asked decides a request on behalf of a user with these claims, under a condition.
func asked(t *testing.T, condition string, claims map[string]any) policy.Decision {
	t.Helper()
	s := mustLoad(t, ok+"\np, user:https://i.test|*, call, service/y/**, allow, "+quoted(condition))
	r := request(t, question)
	r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Claims: claims}
	d, err := s.Decide(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type level int

// TestClaims come as Go has them: from JSON, and from code that fills them by hand.
func TestClaims(t *testing.T) {
	claims := map[string]any{
		"float": 3.5, "int": 3, "uint8": uint8(3), "level": level(3), "float32": float32(3), "number": json.Number("3"),
		"text": "x", "reason": policy.ReasonAllowed, "yes": true, "names": []string{"a", "b"}, "list": []any{"a", 1}, "map": map[string]any{"k": "v"},
		"https://a.test/roles": []any{"r"},
	}
	for _, condition := range []string{
		"r.claims.float > 3", "r.claims.int == 3", "r.claims.uint8 == 3", "r.claims.level == 3", "r.claims.float32 == 3", "r.claims.number == 3",
		"r.claims.text == 'x'", "r.claims.text =~ '^[a-z]$'", "r.claims.yes", "'b' in r.claims.names", "1 in r.claims.list", "r.claims.map.k == 'v'",
		"has(r.claims, 'text') && !has(r.claims, 'nothing')", "'r' in get(r.claims, 'https://a.test/roles')", "has(r.claims.map, 'k')",
	} {
		if d := asked(t, condition, claims); !d.Allow {
			t.Errorf("%s: %+v", condition, d)
		}
	}
}

// TestFailedConditions deny beside an allow, and end nothing but the decision.
func TestFailedConditions(t *testing.T) {
	claims := map[string]any{
		"x": 1.0, "map": map[string]any{"k": 1}, "maps": []any{map[string]any{"k": 1}}, "hole": []any{"a", func() {}},
		"call": func() bool { return true }, "error": strings.NewReader("x"), "deep": nested(40), "nil": nil,
	}
	for condition, why := range map[string]string{
		"r.claims.nothing == 1":                    "No method or field 'nothing'",
		"r.claims.x.y == 1":                        "not a struct or map",
		"r.claims.x":                               "is neither true nor false but float64",
		"r.claims.nil.x":                           "not a struct or map",
		"r.claims.map in r.claims.maps":            "comparing uncomparable",
		"'a' in r.claims.x":                        "'in'",
		"'a' in r.claims.hole":                     "No method or field 'hole'",
		"r.claims.call":                            "No method or field 'call'",
		"r.claims.error.Len > 0":                   "No method or field 'error'",
		"get(r.claims, 'nothing') == 1":            `there is no "nothing"`,
		"has(r.claims)":                            "want a field and a name, got 1",
		"has(r.claims.x, 'y')":                     "want a field and a name",
		"r.claims.deep" + strings.Repeat(".d", 30): "No method or field 'd'",
	} {
		if d := asked(t, condition, claims); d.Allow || d.Err == nil || !strings.Contains(d.Err.Error(), why) {
			t.Errorf("%s: %+v, want %s", condition, d, why)
		}
	}
	// The allow beside it does not help.
	s := mustLoad(t, ok+"\n"+ok+", r.claims.nothing == 1")
	if d := decide(t, s, question); d.Allow || d.Rule == nil || d.Rule.Line != 2 || d.Reason != policy.ReasonFailed {
		t.Errorf("beside an allow: %+v", d)
	}
}

func nested(n int) map[string]any {
	m := map[string]any{"d": 1}
	for range n {
		m = map[string]any{"d": m}
	}
	return m
}

func TestConditionFields(t *testing.T) {
	names, docs := policy.ConditionFields()
	if len(names) != 6 || len(docs) != len(names) || names[0] != "r.time.unix" {
		t.Errorf("%q %q", names, docs)
	}
}
