package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/policy"
)

func TestQuestion(t *testing.T) {
	r, err := policy.Question{
		Subject: "spiffe://a.test/web", User: "user:https://idp.test|al|ice", Groups: []string{"staff"}, Action: "call", Resource: "service/crm/GET/x",
	}.Request()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Principal.Subject() + " " + r.Principal.User.SubjectName() + " " + r.Resource.String(); got != "spiffe://a.test/web user:https://idp.test|al|ice service/crm/GET/x" {
		t.Errorf("the parts came back as %s", got)
	}
	if diff := cmp.Diff(policy.Entity{Type: "pdp"}, policy.ParseEntity("pdp")); diff != "" {
		t.Error(diff)
	}
}

func TestQuestionRefuses(t *testing.T) {
	for name, q := range map[string]policy.Question{
		"no SPIFFE ID": {Subject: "orders", Action: "call", Resource: "pdp"},
		"no action":    {Subject: "spiffe://a.test/web", Resource: "pdp"},
		"no resource":  {Subject: "spiffe://a.test/web", Action: "call"},
		"user form":    {Subject: "spiffe://a.test/web", Action: "call", Resource: "pdp", User: "alice"},
		"user prefix":  {Subject: "spiffe://a.test/web", Action: "call", Resource: "pdp", User: "https://idp.test|alice"},
	} {
		if _, err := q.Request(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFacts(t *testing.T) {
	q := policy.Question{
		Subject: "spiffe://a.test/web", User: "user:https://idp.test|alice", Action: "call", Resource: "service/crm/GET/x",
		Facts: []string{"claims.level=3", "properties.region=eu", "context.purpose=a=b", "time=2026-01-02T03:04:05Z"},
	}
	r, err := q.Request()
	if err != nil {
		t.Fatal(err)
	}
	got := []any{r.Principal.User.Claims["level"], r.Resource.Properties["region"], r.Context["purpose"], r.Time.Year()}
	if diff := cmp.Diff([]any{3.0, "eu", "a=b", 2026}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"level=3", "claims=3", "context", "user=https://idp.test|eve", "group=admins", "time=now"} {
		q.Facts = []string{bad}
		if _, err := q.Request(); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	q.User, q.Facts = "", []string{"claims.level=3"}
	if _, err := q.Request(); err == nil {
		t.Error("a claim of nobody is taken")
	}
}
