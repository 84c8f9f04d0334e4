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
