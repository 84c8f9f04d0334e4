package policy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// asRegexp is what a pattern means, said in another language.
func asRegexp(pattern string) *regexp.Regexp {
	pattern, tail := strings.CutSuffix(pattern, "/**")
	segs := strings.Split(pattern, "/")
	for i, seg := range segs {
		if segs[i] = regexp.QuoteMeta(seg); seg == "*" {
			segs[i] = "[^/]+"
		}
	}
	text := strings.Join(segs, "/")
	if tail {
		text += "/.*"
	}
	return regexp.MustCompile("^(?s:" + text + ")$")
}

// FuzzPatternsMeanWhatTheySay holds the index and Casbin to the patterns' meaning.
func FuzzPatternsMeanWhatTheySay(f *testing.F) {
	for _, p := range []string{"service/y", "service/*", "service/**", "service/*/y", "service/*/y/**", "service/a.b", "service//", "pdp", "**", "service/\xff*"} {
		for _, r := range []string{"service/y", "service/", "service", "service/x/y", "service/x/y/z", "service/aXb", "service//", "pdp", "service/*", "service/**"} {
			f.Add("spiffe://a.test/x", p, "/x", r)
			f.Add("spiffe://a.test/*", p, "/x/y", r)
		}
	}
	f.Fuzz(func(t *testing.T, subject, pattern, path, resource string) {
		id, err := spiffeid.FromString("spiffe://a.test" + path)
		if err != nil || strings.ContainsAny(pattern+subject, "\r\n") {
			return
		}
		csv := strings.Join([]string{"p", quoted(subject), "call", quoted(pattern), "allow"}, ",")
		index, err := policy.LoadFS(files("policy.csv", csv))
		if err != nil {
			return
		}
		_, plain := both(t, csv)
		r := policy.Request{Principal: identity.Principal{Workload: identity.Workload{ID: id}}, Action: "call"}
		r.Resource.Type, r.Resource.ID, _ = strings.Cut(resource, "/")
		want := asRegexp(strings.TrimSpace(pattern)).MatchString(r.Resource.String()) &&
			asRegexp(strings.TrimSpace(subject)).MatchString(id.String())
		for name, s := range map[string]*policy.Snapshot{"index": index, "casbin": plain} {
			if d, err := s.Decide(t.Context(), r); err != nil || d.Allow != want {
				t.Errorf("%s: %s on %s with %s: %v %v, want %v", name, id, r.Resource, csv, d.Allow, err, want)
			}
		}
	})
}

// FuzzRulesLoadOrSayWhere reads any text as rules: what is refused has its place, and what is taken means
// the same to Casbin.
func FuzzRulesLoadOrSayWhere(f *testing.F) {
	for _, csv := range []string{
		ok, explained, "p, a", `p, "a""b", c`, "g, spiffe://a.test/x, role:r\np, role:r, *, service/y/**, deny", "\xef\xbb\xbf# x\r\n\r\n" + ok,
		"p,spiffe://a.test/x,call,service/y/z,allow,true\n", `p, spiffe://a.test/x, call, "service/y,z", allow`, "g, role:a, role:b\ng, role:b, role:a", "p, **, *, **, deny", "\x00",
	} {
		f.Add(csv)
	}
	f.Fuzz(func(t *testing.T, csv string) {
		s, err := policy.LoadFS(files("policy.csv", csv))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "policy.csv:") {
				t.Errorf("no place: %v", err)
			}
			return
		}
		_, plain := both(t, csv)
		for _, q := range []string{question, "spiffe://a.test/web call service/crm/GET/internal/x", "spiffe://a.test/desk vend service/y"} {
			r := request(t, q)
			r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Groups: []string{"staff"}}
			for range 2 {
				got, err1 := s.Decide(t.Context(), r)
				want, err2 := plain.Decide(t.Context(), r)
				if diff := differ(got, want); diff != "" || err1 != nil || err2 != nil {
					t.Errorf("%s of %s: index %+v, casbin %+v", diff, q, got, want)
				}
				r.Principal.User = nil
			}
		}
	})
}

// FuzzConditionsMeanTheSame to the index and to Casbin, and end neither.
func FuzzConditionsMeanTheSame(f *testing.F) {
	for _, c := range []string{
		"true", "r.claims.a == 1", "r.claims.a.b == 'x'", "'x' in r.claims.list", "has(r.claims, 'a') && get(r.claims, 'a') > 0", "r.claims.list in r.claims.list",
		"r.time.unix < '2026-01-01T00:00:00Z'", "r.properties.a =~ '^x'", "!r.claims.flag", "r.claims.a ?? 1 == 1", "r.claims.flag ? 1 : 2", "-r.claims.a", "1", "'x'", "()",
		"r.claims.a == ' r.b'", "[r.claims]", "has(1)", "has('x', r.claims)", "r.claims.nothing == 1", "r.claims.a / 0 == 1", "r.claims.a << 70 > 1", "get(r.claims, 'nil').x",
	} {
		f.Add(c, `{"a": 1, "list": ["x", 1, null], "flag": true, "nil": null}`)
		f.Add(c, `{"a": {"b": "x"}, "list": {"x": []}, "flag": "yes"}`)
	}
	f.Fuzz(func(t *testing.T, condition, claims string) {
		var m map[string]any
		if json.Unmarshal([]byte(claims), &m) != nil || strings.ContainsAny(condition, "\r\n") || len(condition) > 200 {
			return
		}
		csv := "p, spiffe://a.test/x, call, service/y/**, allow\np, user:https://i.test|*, call, service/y/**, allow, " + quoted(condition)
		s, err := policy.LoadFS(files("policy.csv", csv))
		if err != nil {
			return
		}
		_, plain := both(t, csv)
		r := request(t, question)
		r.Principal.User = &identity.User{Issuer: "https://i.test", Subject: "u", Claims: m}
		r.Resource.Properties = map[string]any{"a": "xyz"}
		got, err1 := s.Decide(t.Context(), r)
		want, err2 := plain.Decide(t.Context(), r)
		if got.Allow != want.Allow || (got.Err == nil) != (want.Err == nil) || err1 != nil || err2 != nil {
			t.Errorf("%s with %s: index %+v %v, casbin %+v %v", condition, claims, got, err1, want, err2)
		}
	})
}

// FuzzSmallestGrantAllows puts the grant that an explanation names into the policy, and asks again.
func FuzzSmallestGrantAllows(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		d := newDice(seed)
		csv := d.policy()
		s := mustLoad(t, csv)
		for range 10 {
			r := d.request()
			e, err := s.Explain(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if grant := e.SmallestGrant; grant != "" {
				if after, err := mustLoad(t, csv+"\n"+grant).Decide(t.Context(), r); err != nil || !after.Allow {
					t.Fatalf("%s %s %q is not allowed after\n%s\n%+v", r.Principal.Subject(), r.Action, r.Resource, grant, after)
				}
			} else if e.Rule == nil && known(r) {
				t.Fatalf("%s %s %q has no grant\n%s", r.Principal.Subject(), r.Action, r.Resource, csv)
			}
			if e.Allow && len(e.Matched) == 0 {
				t.Fatalf("allowed by %v, which does not match", e.Rule)
			}
		}
	})
}

// known reports whether a rule could allow r: its action and type are ones that a rule may name.
func known(r policy.Request) bool {
	return r.Action != "dance" && r.Action != "*" && r.Action != "" && r.Resource.Type != "" &&
		(r.Principal.User == nil || r.Principal.User.Subject != "*")
}
