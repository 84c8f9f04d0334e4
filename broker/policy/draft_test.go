package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/policy"
)

// TestExamine: a rule that is refused hides nothing of the others, and no complaint follows from its absence.
func TestExamine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy.csv", "p, role:clerk, call, service/crm/GET/**, alow\n"+
		"g, spiffe://a.test/x, role:clerk\n"+
		"p, spiffe://a.test/x, call, service/crm/GTE/x, allow\n"+
		"p, spiffe://a.tset/x, call, service/cmr/GET/x, allow\n")
	d, err := policy.Examine(dir)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "policy.csv")+":1:") {
		t.Errorf("the error is %v", err)
	}
	if d.Whole() != nil {
		t.Error("it decides")
	}
	if got := listed(d.Findings()); !strings.Contains(got, "GTE is no method") || strings.Contains(got, "role:clerk") {
		t.Errorf("findings: %s", got)
	}
	if got := listed(d.Lint(knownNames())); !strings.Contains(got, `"a.tset"`) || !strings.Contains(got, `"cmr"`) {
		t.Errorf("lint: %s", got)
	}
	if d.Domains()["a.tset"] != 1 {
		t.Errorf("domains: %v", d.Domains())
	}
	write("model.conf", "no model")
	for _, dir := range []string{dir, filepath.Join(dir, "nowhere")} {
		d, err := policy.Examine(dir)
		if err == nil || d.Findings() != nil || d.Lint(knownNames()) != nil || d.Domains() != nil {
			t.Errorf("%s: %v, %v", dir, d, err)
		}
	}
}
