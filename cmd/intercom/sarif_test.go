package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
)

// TestSARIF holds what SARIF 2.1.0 asks of the parts that we write (sections 3.19, 3.27, 3.29, 3.30), so
// that a code host does not drop the whole document for one result.
func TestSARIF(t *testing.T) {
	r := &report{}
	r.add("nothing found")
	for _, rule := range rules() {
		f := found(rule.id, "dir/a file.csv", "a message")
		f.Line, f.Column = 3, 0
		r.add("dir", f, found(rule.id, "", "about everything"), found(rule.id, filepath.FromSlash("/etc/x.yaml"), "elsewhere"))
	}
	var out bytes.Buffer
	if err := printSARIF(&out, r); err != nil {
		t.Fatal(err)
	}
	var log sarifLog
	dec := json.NewDecoder(&out)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || log.Schema == "" || len(log.Runs) != 1 || len(log.Runs[0].Results) != 3*len(rules()) {
		t.Fatalf("version %q, %d runs", log.Version, len(log.Runs))
	}
	table := log.Runs[0].Tool.Driver.Rules
	for _, result := range log.Runs[0].Results {
		checkResult(t, table, result)
	}
}

func checkResult(t *testing.T, table []sarifRule, result sarifResult) {
	t.Helper()
	if result.RuleIndex < 0 || result.RuleIndex >= len(table) || table[result.RuleIndex].ID != result.RuleID {
		t.Errorf("%s points at rule %d", result.RuleID, result.RuleIndex)
	}
	if !slices.Contains([]severity{"error", "warning", "note"}, result.Level) || result.Message.Text == "" {
		t.Errorf("%s: level %q, text %q", result.RuleID, result.Level, result.Message.Text)
	}
	where := result.Locations[0].Physical
	u, err := url.Parse(where.Artifact.URI)
	if err != nil || u.IsAbs() != (u.Path == "/etc/x.yaml") || where.Artifact.URI == "" {
		t.Errorf("%s: artifact %q", result.RuleID, where.Artifact.URI)
	}
	if where.Region != nil && where.Region.StartLine < 1 {
		t.Errorf("%s: region %+v", result.RuleID, where.Region)
	}
}

// TestRulesAreDistinct: an id names one sort of finding, and an unknown one is not passed over.
func TestRulesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules() {
		if seen[r.id] || r.text == "" || severityOf(r.id) != r.severity {
			t.Errorf("%+v", r)
		}
		seen[r.id] = true
	}
	if severityOf("of-tomorrow") != severityError {
		t.Error("a finding that nobody classified is passed over")
	}
}
