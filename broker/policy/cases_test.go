package policy_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
	"github.com/rogpeppe/go-internal/txtar"
)

func TestRunCases(t *testing.T) {
	results, err := policy.RunCases(files("a.txtar", `comment
-- policy.csv --
p, spiffe://a.test/x, call, service/y, allow
-- cases --
# a comment
allow spiffe://a.test/x call service/y

deny spiffe://a.test/x call service/y
`, "b.txtar", "-- cases --\nallow spiffe://a.test/x call service/y/z\n", "c.csv", "nonsense"), mustLoad(t, ok))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		File, Text   string
		Line         int
		Want, Passed bool
	}
	var got []row
	for _, r := range results {
		got = append(got, row{r.File, r.Text, r.Line, r.Want, r.Passed()})
	}
	if diff := cmp.Diff([]row{
		{"a.txtar", "allow spiffe://a.test/x call service/y", 6, true, true},
		{"a.txtar", "deny spiffe://a.test/x call service/y", 8, false, false},
		{"b.txtar", "allow spiffe://a.test/x call service/y/z", 2, true, true},
	}, got); diff != "" {
		t.Error(diff)
	}
}

// TestShippedCasesUnderCasbin runs what the shipped policies promise against Casbin itself, with the
// shipped model as an own one: the index and Casbin keep the same promises.
func TestShippedCasesUnderCasbin(t *testing.T) {
	archives, err := fs.Glob(policies.FS(), "*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range archives {
		data, err := fs.ReadFile(policies.FS(), name)
		if err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse(data)
		archive.Files = append(archive.Files, txtar.File{Name: "model.conf", Data: []byte(plainModel(t))})
		own, err := policy.LoadFS(files("model.conf", plainModel(t), "policy.csv", string(must(fs.ReadFile(policies.FS(), "policy.csv")))))
		if err != nil || !own.Custom() {
			t.Fatal(err)
		}
		results, err := policy.RunCases(files(name, string(txtar.Format(archive))), own)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if ran++; !r.Passed() {
				t.Errorf("%s:%d: %s: %s", r.File, r.Line, r.Text, r.Explanation.Why)
			}
		}
	}
	if ran < 30 {
		t.Errorf("only %d cases", ran)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestRunCasesRefuses(t *testing.T) {
	good := "-- policy.csv --\n" + ok + "\n-- cases --\n"
	for text, want := range map[string]string{
		"": "x.txtar: no cases; write them after a line `-- cases --`",
		"-- polices.csv --\n-- case --\n-- cases --\n": "x.txtar: case: unknown part",
		"-- cases --\n": "x.txtar: cases: no policy to run against",
		"-- policy.csv --\nnonsense\n-- cases --\n":       `x.txtar: policy.csv:1: unknown line type "nonsense"`,
		good + "maybe spiffe://a.test/x call service/y\n": "x.txtar:4: a case is: allow or deny, subject",
		good + "deny spiffe://a.test/x call\n":            "x.txtar:4: a case is",
		good + "\ndeny alice call service/y\n":            `x.txtar:5: subject "alice"`,
		good + "deny spiffe://a.test/x dance service/y\n": `x.txtar:4: unknown action "dance"`,
		good + "deny spiffe://a.test/x call y who=me\n":   `x.txtar:4: unknown "who"`,
		good + "deny spiffe://a.test/x call y user=me\n":  `x.txtar:4: user "me" is not ISSUER|SUB`,
		good + "deny spiffe://a.test/x call y group=me\n": `x.txtar:4: the user has no name`,
		good + "deny spiffe://a.test/x call y time=now\n": `x.txtar:4: parsing time "now"`,
		good + "deny spiffe://a.test/x call y claims=1\n": `x.txtar:4: unknown "claims"`,
		good + "deny spiffe://a.test/x call \"y\n":        `x.txtar:4: a double quote is not closed`,
	} {
		_, err := policy.RunCases(files("x.txtar", text), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n got %v\nwant %s", text, err, want)
		}
	}
}
