package strict_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

// config has a field of every sort that is read.
type config struct {
	Name    string          `yaml:"name" doc:"What it is called."`
	Issuer  strict.URL      `yaml:"issuer" doc:"Who signs."`
	Key     strict.Ref      `yaml:"key" doc:"Where the key is."`
	Life    strict.Duration `yaml:"life"`
	Std     time.Duration   `yaml:"std"`
	Limit   strict.Size     `yaml:"limit"`
	Port    uint16          `yaml:"port"`
	Depth   int             `yaml:"depth"`
	Ratio   float64         `yaml:"ratio"`
	On      bool            `yaml:"on"`
	Nets    []netip.Prefix  `yaml:"nets"`
	Teams   map[string]team `yaml:"teams" noun:"team"`
	Plain   map[string]team `yaml:"plain"`
	Audit   *audit          `yaml:"audit"`
	Inlined `yaml:",inline"`
	skipped string
}

// Inlined is read as if its keys stood in config.
type Inlined struct {
	Extra string `yaml:"extra"`
}

type team struct {
	Lead    string   `yaml:"lead" required:"true"`
	Members []string `yaml:"members"`
	Vend    struct {
		TTL strict.Duration `yaml:"ttl"`
	} `yaml:"vend"`
}

type audit struct {
	Dir  string
	Sync string
}

// UnmarshalYAML reads the one-line form too, and says where it is wrong.
func (a *audit) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		a.Dir = n.Value
		return nil
	}
	var long struct {
		Dir  string `yaml:"dir"`
		Sync string `yaml:"sync"`
	}
	if err := strict.Node(n, &long); err != nil {
		return err
	}
	if long.Sync == "sometimes" {
		return strict.At(strict.Field(n, "sync"), "want always or interval")
	}
	*a = audit(long)
	return nil
}

func TestDecode(t *testing.T) {
	const file = `
name: "7"
issuer: https://broker.internal:8443/base
key: vault:intercom/keys#signing
life: 1h30m
std: 5s
limit: 64MiB
port: 8443
depth: -3
ratio: 0.5
on: true
nets: [127.0.0.0/8, "::1/128"]
teams:
  blue: { lead: ada, members: [bob, eve], vend: { ttl: 15m } }
audit: /var/lib/audit
extra: e
`
	var c config
	if err := strict.Decode("c.yaml", []byte(file), &c); err != nil {
		t.Fatal(err)
	}
	got := []any{c.Name, c.Issuer.String(), c.Key.String(), c.Life.Std(), c.Std, int64(c.Limit), c.Port, c.Depth, c.Ratio, c.On, len(c.Nets),
		c.Teams["blue"].Members, c.Teams["blue"].Vend.TTL.String(), c.Audit.Dir, c.Extra, c.skipped}
	want := []any{"7", "https://broker.internal:8443/base", "vault:intercom/keys#signing", 90 * time.Minute, 5 * time.Second, int64(64 << 20),
		uint16(8443), -3, 0.5, true, 2, []string{"bob", "eve"}, "15m0s", "/var/lib/audit", "e", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAbsentKeysKeepTheirDefaults(t *testing.T) {
	c := config{Name: "default", Depth: 4}
	if err := strict.Decode("c.yaml", []byte("depth: 5\n"), &c); err != nil || c.Name != "default" || c.Depth != 5 {
		t.Errorf("got name %q, depth %d, %v", c.Name, c.Depth, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"empty", "", `f:1:1: the file is empty`},
		{"comments only", "# nothing\n", `f:1:1: the file is empty`},
		{"an empty document", "---\n", `f:1:1: the file is empty`},
		{"unknown key", "nmae: x\n", `f:1:1: unknown key "nmae"; did you mean "name"?`},
		{"unknown key, nothing near", "wholly_other: x\n", `f:1:1: unknown key "wholly_other"`},
		{"unknown key of an entry", "teams:\n  blue: { lead: a, membres: [] }\n", `f:2:20: unknown key "membres" in team "blue"; did you mean "members"?`},
		{"unknown key of a plain entry", "plain:\n  blue: { lead: a, x: 1 }\n", `f:2:20: unknown key "x" in plain.blue`},
		{"unknown key, deeper", "teams:\n  blue: { lead: a, vend: { tl: 1s } }\n", `f:2:28: unknown key "tl" in vend of team "blue"; did you mean "ttl"?`},
		{"twice", "name: a\nname: b\n", `f:2:1: key "name" stands twice (first in line 1)`},
		{"twice in a map", "teams:\n  a: { lead: x }\n  a: { lead: y }\n", `f:3:3: key "a" stands twice (first in line 2) in teams`},
		{"missing", "teams:\n  blue: {}\n", `f:2:9: missing key "lead" in team "blue"`},
		{"no value", "name:\n", `f:1:6: name: no value: give it one, or leave the key out`},
		{"a list for a duration", "teams:\n  b:\n    lead: a\n    vend: { ttl: [1] }\n", `f:4:18: vend.ttl of team "b": want a duration such as 15m, got a list`},
		{"a number for a duration", "life: 15\n", `f:1:7: life: want a duration such as 15m, got a number`},
		{"a number for the library's duration", "std: 15\n", `f:1:6: std: want a duration such as 15m, got a number`},
		{"text for a duration", "life: soon\n", `f:1:7: life: want a duration such as 15m, got "soon"`},
		{"less than nothing", "life: -1m\n", `f:1:7: life: want a duration such as 15m, got "-1m"`},
		{"a number for text", "name: 7\n", `f:1:7: name: want text, got a number: put it in quotes if it is meant as text`},
		{"text for a number", "port: many\n", `f:1:7: port: want a whole number, got text`},
		{"out of range", "port: 70000\n", `f:1:7: port: want a whole number in decimal digits, got "70000"`},
		{"octal or not", "depth: 0755\n", `f:1:8: depth: want a whole number in decimal digits, got "0755"`},
		{"hexadecimal", "depth: 0x1f\n", `f:1:8: depth: want a whole number in decimal digits, got "0x1f"`},
		{"yes", "on: yes\n", `f:1:5: on: want true or false, got text`},
		{"text for a list", "nets: 127.0.0.0/8\n", `f:1:7: nets: want a list such as [a, b], got text`},
		{"a bad item", "nets: [127.0.0.0/8, x]\n", `f:1:21: nets[1]: netip.ParsePrefix("x"): no '/'`},
		{"text for a mapping", "teams: blue\n", `f:1:8: teams: want a mapping of team names, got text`},
		{"a list at the top", "- a\n", `f:1:1: want a mapping, got a list`},
		{"a size", "limit: 64MB\n", `f:1:8: limit: want a size such as 64MiB, got "64MB"`},
		{"a size that overflows", "limit: 9999999999999GiB\n", `f:1:8: limit: want a size such as 64MiB, got "9999999999999GiB"`},
		{"an alias", "name: &a x\nextra: *a\n", `f:2:8: extra: aliases are not read: write the value out`},
		{"a merge key", "<<: { name: x }\n", `f:1:1: merge keys are not read: write the values out`},
		{"a tag", "name: !!binary eA==\n", `f:1:7: name: tags are not read: leave "!!binary" out`},
		{"a number as key", "teams:\n  1: { lead: a }\n", `f:2:3: teams: want text as a key, got a number`},
		{"a list as key", "teams:\n  ? [a]\n  : { lead: a }\n", `f:2:5: teams: want text as a key, got a list`},
		{"two documents", "name: a\n---\nname: b\n", `f:2:1: a second document starts here: want one in a file`},
		{"not YAML", "name: [a\nextra: b\n", `f:2:6: not YAML: did not find expected ',' or ']'`},
		{"a tab", "teams:\n\tblue: {}\n", `f:2:1: a tab stands here: YAML is indented with spaces`},
		{"a control character", "name: a\nextra: \x01\n", `f:2:8: not YAML: control characters are not allowed (value: 1)`},
		{"a type's own refusal", "audit: { dir: /x, sync: sometimes }\n", `f:1:25: audit: want always or interval`},
		{"an unknown key within a type's own", "audit: { dri: /x }\n", `f:1:10: unknown key "dri" in audit; did you mean "dir"?`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c config
			err := strict.Decode("f", []byte(tc.file), &c)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestAllAtOnceInTheOrderOfTheFile(t *testing.T) {
	var c config
	err := strict.Decode("f", []byte("nmae: x\nteams:\n  b: { vend: { ttl: 1 } }\nlife: x\n"), &c)
	want := []string{
		`f:1:1: unknown key "nmae"; did you mean "name"?`,
		`f:3:6: missing key "lead" in team "b"`,
		`f:3:21: vend.ttl of team "b": want a duration such as 15m, got a number`,
		`f:4:7: life: want a duration such as 15m, got "x"`,
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
	first, ok := errors.AsType[*strict.Error](err)
	if !ok || first.Line != 1 || first.Suggestion != "name" {
		t.Errorf("the first is not found by errors.As: %v", first)
	}
}

func TestAHopelessFileIsBounded(t *testing.T) {
	var c config
	err := strict.Decode("f", []byte(strings.Repeat("x", 300)+": 1\n"+numbered(700)), &c)
	errs, ok := errors.AsType[strict.Errors](err)
	if !ok || len(errs) != 101 || !strings.Contains(errs[100].Message, "601 more") {
		t.Fatalf("got %d errors, the last %v", len(errs), errs[len(errs)-1])
	}
	if len(errs[0].Error()) > 120 {
		t.Errorf("a long key is repeated whole: %s", errs[0])
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("k")
		b.WriteString(strings.Repeat("a", i%7))
		b.WriteString(strings.Repeat("b", i/7))
		b.WriteString(": 1\n")
	}
	return b.String()
}

func TestTooLargeAndTooDeep(t *testing.T) {
	var c config
	if err := strict.Decode("f", make([]byte, strict.MaxBytes+1), &c); err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("too large: %v", err)
	}
	if err := strict.Decode("f", []byte(strings.Repeat("[", 10_000)), &c); err == nil || !strings.Contains(err.Error(), "depth") {
		t.Errorf("too deep: %v", err)
	}
	bomb := "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nteams: *c\n"
	if err := strict.Decode("f", []byte(bomb), &c); err == nil || !strings.Contains(err.Error(), "aliases are not read") {
		t.Errorf("bomb: %v", err)
	}
}
