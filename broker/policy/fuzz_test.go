package policy_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/policies"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// plainModel says what the shipped model says, in other words: Casbin itself decides it.
func plainModel(t testing.TB) string {
	t.Helper()
	plain := strings.Replace(policies.Model(), "eval(p.condition)", "eval(p.condition) && true", 1)
	if plain == policies.Model() {
		t.Fatal("the shipped matcher no longer ends in eval(p.condition)")
	}
	return plain
}

// both loads csv twice: for the index, and for Casbin.
func both(t testing.TB, csv string) (index, plain *policy.Snapshot) {
	t.Helper()
	index, err := policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte(csv)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, csv)
	}
	plain, err = policy.LoadFS(fstest.MapFS{"policy.csv": {Data: []byte(csv)}, "model.conf": {Data: []byte(plainModel(t))}})
	if err != nil {
		t.Fatalf("%v\n%s", err, csv)
	}
	if index.Custom() || !plain.Custom() {
		t.Fatal("want one decided by the index and one by Casbin")
	}
	return index, plain
}

// dice makes policies and requests from a small vocabulary, so that they meet often.
type dice struct {
	*rand.Rand
	made [][3]string // subject, action and resource of the rules so far
}

func newDice(seed uint64) *dice { return &dice{Rand: rand.New(rand.NewPCG(seed, 7))} }

func (d *dice) pick(words ...string) string { return words[d.IntN(len(words))] }

func (d *dice) often(percent int) bool { return d.IntN(100) < percent }

// join makes a path of up to n segments behind first.
func (d *dice) join(first string, n int, segs ...string) string {
	for range 1 + d.IntN(n) {
		first += "/" + d.pick(segs...)
	}
	return first
}

func (d *dice) subject() string {
	switch d.IntN(10) {
	case 0:
		return d.pick("user:https://a.test|", "user:https://b.test|") + d.pick("u", "v", "u|v", "u/v", "*")
	case 1, 2:
		return "group:" + d.pick("g", "h", "Domain Users")
	case 3, 4:
		return d.role()
	default:
		path := d.join("spiffe://"+d.pick("a.test", "a.test", "a.test", "b.test"), 2, "x", "y", "*")
		if d.often(20) {
			path += "/**"
		}
		return path
	}
}

func (d *dice) role() string { return fmt.Sprintf("role:r%d", d.IntN(6)) }

func (d *dice) resource() string {
	path := d.join(d.pick("service", "service", "service", "pdp"), 3, "x", "x", "y", "*", "1,2")
	if d.often(25) {
		path += "/**"
	} else if d.often(5) {
		path += "/"
	}
	return path
}

func (d *dice) condition() string {
	return d.pick("true", "r.time.hour < 12", "r.time.unix >= '2026-06-01T00:00:00Z'", "r.claims.level > 3",
		"r.claims.dept == 'sales'", "has(r.claims, 'dept') && r.claims.dept != 'sales'", "'red' in r.claims.tags",
		"r.properties.region == 'eu'", "get(r.claims, 'https://a.test/x') == 1", "r.claims.level", "r.claims.tags.x == 1",
		"r.claims.dept in ('sales', 'law')", "!has(r.properties, 'region') || r.properties.region =~ '^e'",
		"r.claims.tags == r.claims.tags", "r.claims.nest in r.claims.tags")
}

func (d *dice) rule() string {
	effect, action := "allow", d.action()
	subject, resource := d.subject(), d.resource()
	if d.often(10) {
		effect = "deny"
		if d.often(20) {
			action = "*"
		}
		if d.often(10) {
			subject = "**"
		}
		if d.often(5) {
			resource = "**"
		}
	}
	d.made = append(d.made, [3]string{subject, action, resource})
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	line := strings.Join([]string{"p", quote(subject), action, quote(resource), effect}, ", ")
	if d.often(20) {
		line += ", " + quote(d.condition())
	}
	return line
}

func (d *dice) action() string { return d.pick("call", "call", "call", "vend", "admin") }

// link leads upward in the roles' numbers only, so that there is no circle.
func (d *dice) link() string {
	if d.often(30) {
		low := d.IntN(5)
		return fmt.Sprintf("g, role:r%d, role:r%d", low, low+1+d.IntN(5-low))
	}
	member := d.subject()
	for strings.Contains(member, "*") || strings.HasPrefix(member, "role:") {
		member = d.subject()
	}
	return "g, " + member + ", " + d.role()
}

func (d *dice) policy() string {
	var lines []string
	for range d.IntN(100) {
		lines = append(lines, d.rule())
	}
	for range d.IntN(20) {
		lines = append(lines, d.link())
	}
	d.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return strings.Join(lines, "\n")
}

func (d *dice) request() policy.Request {
	id := spiffeid.RequireFromString(d.join("spiffe://"+d.pick("a.test", "a.test", "a.test", "b.test", "ax.test"), 2, "x", "x", "y", "z"))
	r := policy.Request{
		Principal: identity.Principal{Workload: identity.Workload{ID: id}},
		Action:    d.pick("call", "call", "call", "call", "call", "call", "vend", "admin", "dance", "*", ""),
		Resource:  policy.Entity{Type: d.pick("service", "service", "service", "credential", "pdp", "", "service/x")},
		Time:      time.Date(2026, time.Month(1+d.IntN(12)), 3, d.IntN(24), 5, 0, 0, time.UTC),
	}
	if d.often(90) {
		r.Resource.ID = d.join(d.pick("x", "x", "y", ""), 2, "x", "x", "x", "y", "*", "**", "a*b", "", "1,2")
	}
	if len(d.made) > 0 && d.often(70) {
		d.aim(&r)
	}
	if d.often(50) {
		r.Resource.Properties = map[string]any{"region": d.pick("eu", "us")}
	}
	if d.often(40) {
		r.Principal.User = d.user()
	}
	return r
}

// aim turns r into a request that one of the rules may match.
func (d *dice) aim(r *policy.Request) {
	rule := d.made[d.IntN(len(d.made))]
	if id, err := spiffeid.FromString(d.fill(rule[0])); err == nil {
		r.Principal.Workload.ID = id
	}
	if r.Action = rule[1]; r.Action == "*" {
		r.Action = d.action()
	}
	r.Resource.Type, r.Resource.ID, _ = strings.Cut(d.fill(rule[2]), "/")
}

// fill puts segments where a pattern has wildcards.
func (d *dice) fill(pattern string) string {
	if pattern == "**" {
		pattern = "service/*"
	}
	if rest, ok := strings.CutSuffix(pattern, "/**"); ok {
		pattern = d.join(rest, 2, "x", "y")
	}
	segs := strings.Split(pattern, "/")
	for i, seg := range segs {
		if seg == "*" {
			segs[i] = d.pick("x", "y")
		}
	}
	return strings.Join(segs, "/")
}

func (d *dice) user() *identity.User {
	u := &identity.User{Issuer: d.pick("https://a.test", "https://b.test"), Subject: d.pick("u", "v", "u|v", "u/v", "*", "w")}
	for _, g := range []string{"g", "h", "Domain Users", "r0"} {
		if d.often(40) {
			u.Groups = append(u.Groups, g)
		}
	}
	if d.often(80) {
		u.Claims = map[string]any{"level": d.IntN(6), "dept": d.pick("sales", "law"), "tags": []string{"red", "blue"},
			"https://a.test/x": 1, "nest": map[string]any{"a": []any{1}}}
	} else if d.often(50) {
		u.Proof = identity.ByToken
	}
	return u
}

// FuzzIndexEqualsCasbin holds the compiled index equal to Casbin with the same rules: what is allowed,
// which rule decided, and for which reason.
func FuzzIndexEqualsCasbin(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		d := newDice(seed)
		csv := d.policy()
		index, plain := both(t, csv)
		for range 20 {
			r := d.request()
			got, err1 := index.Decide(t.Context(), r)
			want, err2 := plain.Decide(t.Context(), r)
			if diff := differ(got, want); diff != "" || err1 != nil || err2 != nil {
				t.Fatalf("%s differs for %s %s %q %+v\nindex  %+v %v\ncasbin %+v %v\n%s",
					diff, r.Principal.Subject(), r.Action, r.Resource, r.Principal.User, got, err1, want, err2, csv)
			}
			if refused := got.Err != nil || got.Rule != nil && got.Rule.Effect == "deny"; refused && !index.MayDeny(r.Action) {
				t.Fatalf("no rule may deny %s, and one does: %+v\n%s", r.Action, got, csv)
			}
		}
	})
}

// differ names what two decisions disagree in. Casbin is asked once for each group and says of a failed
// condition neither which it was nor what stands beside it, so of failures it only has to deny too.
func differ(got, want policy.Decision) string {
	text := func(r *policy.Rule) string {
		if r == nil {
			return ""
		}
		return r.Text
	}
	switch {
	case got.Allow != want.Allow:
		return "allow"
	case got.Err != nil || want.Err != nil:
		return ""
	case got.Reason != want.Reason:
		return "reason"
	case text(got.Rule) != text(want.Rule):
		return "rule"
	case text(got.UserRule) != text(want.UserRule):
		return "user's rule"
	}
	return ""
}
