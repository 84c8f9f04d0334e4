package service_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/service"
)

func TestBrowser(t *testing.T) {
	c := parse(t, `version: 1
owner: t
services:
  closed: http://closed:8080
  short: { upstream: "http://orders:8080", match: /orders/** }
  long:
    upstream: https://files
    match:
      - { host: app.test, path: /files/*/meta, methods: [GET, PUT] }
      - /dav/**
    require: { groups: [staff], scopes: [files], acr: [gold] }
    pass: { cookies: [theme], set_cookies: [theme], strip: /dav, body_limit: 1GiB, timeout: 5m, passive: true }
    user: { exchange: { audience: files, scope: [r] } }
  open: { upstream: "https://a", match: /, require: { login: false }, user: none }
  own: { upstream: "https://a", match: /own, token: { audience: theirs }, user: access_token }
  legacy: { upstream: "https://a", match: /legacy/**, inject: { basic: { credential: a } } }
  named: { upstream: "https://a", match: /named, user: { basic: { claim: uid, credential: portal/api } } }
`)
	want := map[string]*service.Browser{
		"closed": nil,
		"short":  {Matches: []service.Match{{Path: "/orders/**", Pos: "team.yaml:5:51"}}, User: service.UserToken{Kind: service.UserMint}},
		"long": {
			Matches: []service.Match{
				{Host: "app.test", Path: "/files/*/meta", Methods: []string{"GET", "PUT"}, Pos: "team.yaml:9:9"}, {Path: "/dav/**", Pos: "team.yaml:10:9"},
			},
			Require: service.Require{Groups: []string{"staff"}, Scopes: []string{"files"}, ACR: []string{"gold"}},
			Pass:    service.Pass{Cookies: []string{"theme"}, SetCookies: []string{"theme"}, Strip: "/dav", BodyLimit: 1 << 30, Timeout: 5 * time.Minute, Passive: true},
			User:    service.UserToken{Kind: service.UserExchange, Audience: "files", Scope: []string{"r"}},
		},
		"open": {
			Matches: []service.Match{{Path: "/", Pos: "team.yaml:14:41"}},
			Require: service.Require{Anonymous: true}, User: service.UserToken{Kind: service.UserNone},
		},
		"own":    {Matches: []service.Match{{Path: "/own", Pos: "team.yaml:15:40"}}, User: service.UserToken{Kind: service.UserOwn, Audience: "theirs"}},
		"legacy": {Matches: []service.Match{{Path: "/legacy/**", Pos: "team.yaml:16:43"}}, User: service.UserToken{Kind: service.UserNone}},
		"named": {
			Matches: []service.Match{{Path: "/named", Pos: "team.yaml:17:42"}}, User: service.UserToken{Kind: service.UserBasic, Claim: "uid", Credential: "portal/api"},
		},
	}
	for name, browser := range want {
		s, _ := c.Get(name)
		if diff := cmp.Diff(browser, s.Browser); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if found := c.Vending("portal/api"); len(found) != 1 || found[0].Name != "named" || found[0].Vends().TTL != service.DefaultTTL {
		t.Errorf("what is handed out for browsers: %+v", found)
	}
	if s, _ := c.Get("short"); s.Token == nil || s.Token.Bind != service.BindNone {
		t.Errorf("short: %+v", s.Token)
	}
}

func TestBrowserRefusals(t *testing.T) {
	for _, tc := range []struct{ name, entry, want string }{
		{"no path", `match: { host: a }`, `missing key "path"`},
		{"nothing", `match: []`, "an empty list reaches nothing"},
		{"a relative path", `match: orders/**`, "must begin with a slash"},
		{"half a segment", `match: /or*`, "* is one whole segment"},
		{"in the middle", `match: /a/**/b`, "* is one whole segment"},
		{"dots", `match: /a/../b`, "dot segment"},
		{"an escape of a letter", `match: "/%61"`, "want the form in which paths arrive: \"/a\""},
		{"a space", `match: "/a b"`, "want the form in which paths arrive: \"/a%20b\""},
		{"an origin for a host", `match: { host: "https://a", path: / }`, "want the host of an origin"},
		{"capitals", `match: { host: A, path: / }`, "want the host of an origin"},
		{"a method that is none", `match: { path: /, methods: [get] }`, `"get" is not served here`},
		{"a misspelt method key", `match: { path: /, method: [GET] }`, `did you mean "methods"`},
		{"require alone", `require: { login: true }`, "reach the service only with a match"},
		{"groups of nobody", `match: /, require: { login: false, groups: [a] }`, "of users who have logged in"},
		{"two levels in one", `match: /, require: { acr: [gold, "a b"] }`, `"a b" is no level that a login can ask for`},
		{"a level without end", `match: /, require: { acr: [` + strings.Repeat("a", 129) + `] }`, "is no level that a login can ask for"},
		{"two credentials", `match: /, inject: { basic: { credential: a } }, user: mint`, "or the service gets two"},
		{"no such user token", `match: /, user: id_token`, "want mint, access_token, none"},
		{"two credentials", `match: /, user: { exchange: { audience: a }, basic: { claim: uid, credential: a } }`, `one of exchange and basic`},
		{"basic for nobody", `match: /, user: { basic: { credential: a } }`, `missing key "claim"`},
		{"basic with an odd name", `match: /, user: { basic: { claim: uid, credential: ../a } }`, `want a name such as crm/login`},
		{"exchange for nobody", `match: /, user: { exchange: { scope: [a] } }`, `missing key "audience"`},
		{"our cookie", `match: /, pass: { cookies: [__Host-Http-ic] }`, "no cookie of a service's own"},
		{"a cookie with a space", `match: /, pass: { set_cookies: ["a b"] }`, "no cookie of a service's own"},
		{"strip with a slash", `match: /, pass: { strip: /a/ }`, "without a slash at its end"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := service.Parse(map[string][]byte{"f": []byte("version: 1\nowner: t\nservices:\n  x: { upstream: \"https://a\", " + tc.entry + " }\n")})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "f:4:") {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
	for entry, want := range map[string]string{
		`{ vend: { credential: a }, match: / }`:      "a browser gets no credential",
		`{ token: { bind: none }, match: / }`:        "match wants an upstream",
		`{ upstream: { url: "http://a" }, match: /}`: "bind must be written out",
	} {
		if _, err := service.Parse(map[string][]byte{"f": []byte("version: 1\nowner: t\nservices:\n  x: " + entry + "\n")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

// TestConflictingMatches: both places are named, in whichever file they stand.
func TestConflictingMatches(t *testing.T) {
	files := func(a, b string) map[string][]byte {
		f := func(name, match string) []byte {
			return []byte("version: 1\nowner: t\nservices:\n  " + name + ":\n    upstream: https://a\n    match: " + match + "\n")
		}
		return map[string][]byte{"a.yaml": f("first", a), "b.yaml": f("second", b)}
	}
	for _, same := range [][2]string{
		{"/x/**", "/x/**"}, {"{ host: h, path: / }", "{ path: /, host: h }"}, {"{ path: /, methods: [GET, PUT] }", "{ path: /, methods: [PUT, POST] }"},
	} {
		_, err := service.Parse(files(same[0], same[1]))
		if err == nil || !strings.HasPrefix(err.Error(), "b.yaml:6:12: service \"second\"") || !strings.Contains(err.Error(), `"first" at a.yaml:6:12`) {
			t.Errorf("%v: %v", same, err)
		}
	}
	for _, other := range [][2]string{
		{"/x/**", "/x"}, {"/", "{ path: /, host: h }"}, {"/", "{ path: /, methods: [GET] }"}, {"{ path: /, methods: [POST] }", "{ path: /, methods: [GET] }"}, {"/*", "/a"},
	} {
		if _, err := service.Parse(files(other[0], other[1])); err != nil {
			t.Errorf("%v: %v", other, err)
		}
	}
}

// TestServes: who may GET may HEAD.
func TestServes(t *testing.T) {
	m := service.Match{Methods: []string{"GET", "POST"}}
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": false} {
		if m.Serves(method) != want {
			t.Errorf("%s: %t", method, !want)
		}
	}
	if (service.Match{Methods: []string{"POST"}}).Serves("HEAD") || !(service.Match{}).Serves("PUT") {
		t.Error("HEAD without GET, or no method at all")
	}
}
