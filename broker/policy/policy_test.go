package policy_test

import (
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
)

func TestShippedCases(t *testing.T) {
	s, err := policy.LoadFS(policies.FS())
	if err != nil {
		t.Fatal(err)
	}
	if s.Custom() || len(s.Warnings()) > 0 {
		t.Errorf("custom %v, warnings %q", s.Custom(), s.Warnings())
	}
	results, err := policy.RunCases(policies.FS(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) < 50 {
		t.Errorf("only %d cases were found", len(results))
	}
	for _, r := range results {
		if !r.Passed() {
			t.Errorf("%s:%d: %s\n\t%s", r.File, r.Line, r.Text, r.Explanation.Why)
		}
	}
}
