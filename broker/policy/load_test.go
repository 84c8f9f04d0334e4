package policy_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
)

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func mustLoad(t testing.TB, csv string) *policy.Snapshot {
	t.Helper()
	s, err := policy.LoadFS(files("policy.csv", csv))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const ok = "p, spiffe://a.test/x, call, service/y/**, allow"

// TestLoadRefuses has one line of each kind that must not be taken, and what is said of it.
func TestLoadRefuses(t *testing.T) {
	rule := func(subject, action, resource, effect string) string {
		return strings.Join([]string{"p", subject, action, resource, effect}, ", ")
	}
	const subject, resource = "spiffe://a.test/x", "service/y"
	condition := func(c string) string { return rule(subject, "call", resource, "allow") + `, "` + c + `"` }
	for line, want := range map[string]string{
		"x, a, b":                 `unknown line type "x"; a rule begins with p`,
		"P" + ok[1:]:              `unknown line type "P"`,
		"p, " + "a, b":            `2 columns after p; write p, subject, action`,
		ok + ", true, more":       `6 columns after p`,
		`p, "a, b`:                `double quotes`,
		"g, a":                    `1 columns after g; write g, member, role:NAME`,
		ok + "\xff":               `invalid UTF-8`,
		strings.Repeat("x", 9000): `line of 9000 bytes`,

		rule(subject, "call", resource, "Deny"):   `unknown effect "Deny"; write deny`,
		rule(subject, "call", resource, "permit"): `unknown effect "permit"; write allow or deny`,
		rule(subject, "call", resource, ""):       `unknown effect ""`,
		rule(subject, "dance", resource, "allow"): `unknown action "dance"; the actions are vend, exchange`,
		rule(subject, "Call", resource, "allow"):  `unknown action "Call"`,
		rule(subject, "*", resource, "allow"):     "action `*` stands in deny rules only; name each action",

		rule("", "call", resource, "allow"):                     `empty subject`,
		rule("alice", "call", resource, "allow"):                `unknown form of subject "alice"; write spiffe://DOMAIN/PATH`,
		rule("**", "call", resource, "allow"):                   "`**` alone stands in deny rules only",
		rule("spiffe://*/x", "call", resource, "allow"):         `wildcard in the trust domain`,
		rule("spiffe://**", "call", resource, "allow"):          `wildcard in the trust domain`,
		rule("spiffe://a.*/x", "call", resource, "allow"):       `wildcard "a.*"`,
		rule("spiffe://a.test/x*", "call", resource, "allow"):   "wildcard \"x*\" in \"spiffe://a.test/x*\"; `*` stands for one whole segment",
		rule("spiffe://a.test/**/x", "call", resource, "allow"): `wildcard "**"`,
		rule("spiffe://a.test/***", "call", resource, "allow"):  `wildcard "***"`,
		rule("spiffe://A.test/x", "call", resource, "allow"):    `is no SPIFFE ID`,
		rule("spiffe://a.test/x/", "call", resource, "allow"):   `is no SPIFFE ID`,
		rule("spiffe://a.test/../x", "call", resource, "allow"): `is no SPIFFE ID`,
		rule("user:https://i.test", "call", resource, "allow"):  `lacks an issuer or a subject`,
		rule("user:|x", "call", resource, "allow"):              `lacks an issuer or a subject`,
		rule("user:*|x", "call", resource, "allow"):             `wildcard in "user:*|x"; the issuer is literal`,
		rule("user:i|x*", "call", resource, "allow"):            `wildcard in "user:i|x*"`,
		rule("group:*", "call", resource, "allow"):              `groups and roles are literal`,
		rule("role:", "call", resource, "allow"):                `lacks a name`,
		rule("group:a\x01b", "call", resource, "allow"):         `control character`,

		rule(subject, "call", "", "allow"):                                   `empty resource`,
		rule(subject, "call", "*", "allow"):                                  `does not begin with a literal type`,
		rule(subject, "call", "*/y", "allow"):                                `does not begin with a literal type`,
		rule(subject, "call", "/service/y", "allow"):                         `does not begin with a literal type`,
		rule(subject, "call", "spiffe://a.test/y", "allow"):                  `does not begin with a literal type`,
		rule(subject, "call", "**", "allow"):                                 "`**` alone stands in deny rules only",
		rule(subject, "call", "service/y?", "allow"):                         `wildcard "y?"`,
		rule(subject, "call", "service/[ab]", "allow"):                       `wildcard "[ab]"`,
		rule(subject, "call", "service/{id}", "allow"):                       `wildcard "{id}"`,
		rule(subject, "call", "service/**/y", "allow"):                       `wildcard "**"`,
		rule(subject, "call", "service"+strings.Repeat("/y", 40), "allow"):   `more than 32 segments`,
		rule(subject, "call", "service/"+strings.Repeat("y", 2100), "allow"): `2108 bytes`,

		condition("r.claims.x =="):                             `condition "r.claims.x =="`,
		condition("r.subject == 'x'"):                          `unknown name "r_subject"`,
		condition("p.subject.x == 'x'"):                        `unknown field "p_subject.x"`,
		condition("r_claims.x == 1"):                           `unknown field "r_claims.x"`,
		condition("claims.x == 1"):                             `unknown field "claims.x"`,
		condition("x == 1"):                                    `unknown name "x"`,
		condition("r.claims == 1"):                             `unknown name "r_claims"`,
		condition("r.time.day == 1"):                           `unknown field "r_time.day"`,
		condition("r.claims.x.Run('y')"):                       `is called`,
		condition("regexMatch(r.claims.x, '.*')"):              `Undefined function regexMatch`,
		condition("eval('true')"):                              `Undefined function eval`,
		condition("r.claims.x == ' r.time'"):                   `looks like a field inside a string`,
		condition("r.time.unix < '2026-01-01'"):                `must be in UTC and end in Z`,
		condition("r.time.unix < '2026-01-01T00:00:00+05:00'"): `must be in UTC and end in Z`,
		condition("r.claims.x =~ '('"):                         `condition`,
		condition(strings.Repeat("(", 900)):                    `condition`,
		condition(strings.Repeat("x", 1100)):                   `condition of 1100 bytes`,

		"g, spiffe://a.test/*, role:x":         `pattern "spiffe://a.test/*" in g`,
		"g, **, role:x":                        `pattern "**" in g`,
		"g, spiffe://a.test/x, x":              `unknown form of subject "x"`,
		"g, spiffe://a.test/x, group:x":        `"group:x" is no role`,
		"g, role:a, role:b\ng, role:b, role:a": `circular roles: role:a → role:b → role:a`,
		"g, role:a, role:a":                    `circular roles: role:a → role:a`,
		"g, spiffe://a.test/x, role:a\ng, role:c, role:a\ng, role:a, role:b\ng, role:b, role:c": `circular roles: role:c → role:a → role:b → role:c`,
	} {
		_, err := policy.LoadFS(files("policy.csv", "# first\n"+ok+"\n"+line+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s\n got %v\nwant %s", line, err, want)
		} else if !strings.HasPrefix(err.Error(), "policy.csv:") {
			t.Errorf("%s\nlacks its place: %v", line, err)
		}
	}
}

func TestLoadNamesFileAndLine(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.csv"), ok)
	write(t, filepath.Join(dir, "b.csv"), "# one\n\n"+ok+"\n"+strings.Replace(ok, "allow", "Deny", 1)+"\n\tx\n")
	_, err := policy.Load(dir)
	want := fmt.Sprintf("%[1]s:4: unknown effect \"Deny\"; write deny\n%[1]s:5: unknown line type \"x\"; a rule begins with p, a role's member with g, and a comment with #",
		filepath.Join(dir, "b.csv"))
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRoleDepth(t *testing.T) {
	chain := func(links int) string {
		var b strings.Builder
		fmt.Fprintf(&b, "p, role:r%d, call, service/y, allow\ng, spiffe://a.test/x, role:r1\n", links)
		for i := 1; i < links; i++ {
			fmt.Fprintf(&b, "g, role:r%d, role:r%d\n", i, i+1)
		}
		return b.String()
	}
	index, plain := both(t, chain(10))
	for _, s := range []*policy.Snapshot{index, plain} {
		if d := decide(t, s, "spiffe://a.test/x call service/y"); !d.Allow {
			t.Errorf("ten links: %+v", d)
		}
	}
	_, err := policy.LoadFS(files("policy.csv", chain(11)))
	if err == nil || !strings.Contains(err.Error(), "policy.csv:2: roles nested deeper than 10 above spiffe://a.test/x") {
		t.Errorf("eleven links: %v", err)
	}
}

func TestManyRoles(t *testing.T) {
	held := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "g, role:all, role:r%d\n", i)
		}
		return b.String() + "g, spiffe://a.test/x, role:all\n"
	}
	mustLoad(t, held(255))
	_, err := policy.LoadFS(files("policy.csv", held(256)))
	if err == nil || !strings.Contains(err.Error(), "policy.csv:257: more than 256 roles for spiffe://a.test/x") {
		t.Errorf("got %v", err)
	}
}

func TestShapes(t *testing.T) {
	shapes := func(n int) string {
		var b strings.Builder
		b.WriteString("p, **, *, **, deny\n") // free
		for i := range n {
			fmt.Fprintf(&b, "p, spiffe://a.test/x, call, service%s/*, allow\n", strings.Repeat("/Y", i%30)+strings.Repeat("/*", i/30))
		}
		return b.String()
	}
	if s := mustLoad(t, shapes(15)); len(s.Warnings()) > 0 {
		t.Errorf("15 shapes warn: %q", s.Warnings())
	}
	if s := mustLoad(t, shapes(32)); len(s.Warnings()) != 1 || !strings.HasPrefix(s.Warnings()[0], "32 pattern shapes") {
		t.Errorf("32 shapes: %q", s.Warnings())
	}
	_, err := policy.LoadFS(files("policy.csv", shapes(33)))
	if err == nil || !strings.HasPrefix(err.Error(), "policy.csv:34: more than 32 pattern shapes") {
		t.Errorf("33 shapes: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	s := mustLoad(t, ok+"\np, role:empty, call, service/y, allow\ng, spiffe://a.test/x, role:idle\n"+ok)
	want := []string{"policy.csv:2: nobody has role:empty", "policy.csv:3: role:idle has members and no rule names it", "policy.csv:4: repeats policy.csv:1"}
	if diff := cmp.Diff(want, s.Warnings()); diff != "" {
		t.Error(diff)
	}
}

// TestDirectory says which files count.
func TestDirectory(t *testing.T) {
	if _, err := policy.LoadFS(files("readme.txt", "x")); err == nil || !strings.Contains(err.Error(), "*.csv: no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, err := policy.LoadFS(files("policy.csv", strings.Repeat("#", 16<<20+1))); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("a large file: %v", err)
	}
	s, err := policy.LoadFS(files("a.csv", "\xef\xbb\xbf"+ok+"\r\n", "b.csv", "", ".hidden.csv", "nonsense", "b.csv~", "nonsense"))
	if err != nil || s.Rules() != 1 {
		t.Errorf("got %v", err)
	}
	if _, err := policy.LoadFS(fstest.MapFS{"x.csv": {Mode: os.ModeDir}}); err == nil {
		t.Error("a directory that is called x.csv is accepted")
	}
	if _, err := policy.Load(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing directory is accepted")
	}
}

// TestModelSpelling: comments, white space and continued lines do not make a model the operator's own.
func TestModelSpelling(t *testing.T) {
	respelled := "# mine\r\n" + strings.ReplaceAll(strings.ReplaceAll(policies.Model(), "\n", "\r\n"), " = ", "  =  ")
	a, err := policy.LoadFS(files("policy.csv", ok, "model.conf", respelled))
	if err != nil || a.Custom() {
		t.Fatalf("custom: %v", err)
	}
	if b := mustLoad(t, ok); a.Revision() != b.Revision() {
		t.Error("the same policy has two revisions")
	}
	if c := mustLoad(t, ok+" "); a.Revision() == c.Revision() {
		t.Error("two files have one revision")
	}
}

// flipping is a directory that is replaced after its first file has been opened.
type flipping struct {
	fs.FS
	next  fs.FS
	opens int
}

func (f *flipping) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if f.opens++; name == "a.csv" && f.opens <= 3 {
		f.FS = f.next
	}
	return file, err
}

// TestReadAsAWhole: half of one policy and half of another is neither.
func TestReadAsAWhole(t *testing.T) {
	before := files("a.csv", ok, "b.csv", "")
	after := files("a.csv", "", "b.csv", strings.ReplaceAll(ok, "/x", "/z"))
	s, err := policy.LoadFS(&flipping{FS: before, next: after})
	if err != nil {
		t.Fatal(err)
	}
	if d := decide(t, s, "spiffe://a.test/x call service/y/z"); d.Allow || s.Rules() != 1 {
		t.Errorf("%d rules; one file is from before: %+v", s.Rules(), d)
	}
}
