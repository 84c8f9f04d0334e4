package service_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/service"
)

const head = "version: 1\nowner: t\nservices:\n  x: "

func TestRefusals(t *testing.T) {
	for _, tc := range []struct{ name, entry, want string }{
		{"nothing", `{}`, `f:4:6: service "x": want an upstream, or one of token, inject and vend`},
		{"two modes", `{ token: {}, vend: { credential: a } }`, `f:4:6: service "x": want one of token, inject and vend, got 2 of them`},
		{"no scheme", `inventory:8080`, `f:4:6: service "x": the URL has no scheme: want https:// or http:// before it; did you mean "https://inventory:8080"?`},
		{"another scheme", `ftp://inventory`, `f:4:6: service "x": want an http or https URL, got "ftp"`},
		{"a query", `{ upstream: "https://a?b=c" }`, `f:4:18: upstream of service "x": want a URL without a query`},
		{"a trailing slash", `https://a/b/`, `f:4:6: service "x": want a plain path: no trailing or doubled slash, no dot segment, no escape`},
		{"a dot segment", `https://a/b/../c`, `f:4:6: service "x": want a plain path: no trailing or doubled slash, no dot segment, no escape`},
		{"an escape", `https://a/b%2Fc`, `f:4:6: service "x": want a plain path: no trailing or doubled slash, no dot segment, no escape`},
		{"a parameter", `https://a/b;c`, `f:4:6: service "x": want a plain path: no trailing or doubled slash, no dot segment, no escape`},
		{"a password", `https://u:p@a`, `f:4:6: service "x": a URL holds no user and no password here: put them into the credential store`},
		{"bind unwritten", `{ upstream: "http://a" }`, `f:4:6: service "x": bind must be written out for a plain http upstream, which cannot see the caller's certificate: token: { bind: none }`},
		{"bind unwritten, token", `{ upstream: "http://a", token: { scope: [r] } }`, `f:4:37: service "x": bind must be written out for a plain http upstream, which cannot see the caller's certificate: token: { bind: none }`},
		{"bind unwritten, no upstream", `{ token: {} }`, `f:4:15: service "x": bind must be written out without an upstream: token: { bind: none }, since the application itself asks for the token`},
		{"bind svid over http", `{ upstream: "http://a", token: { bind: svid } }`, `f:4:45: service "x": bind: svid wants an https upstream, which sees the caller's certificate`},
		{"bind svid, no upstream", `{ token: { bind: svid } }`, `f:4:23: service "x": bind: svid wants an https upstream, which sees the caller's certificate`},
		{"bind unknown", `{ upstream: "https://a", token: { bind: mtls } }`, `f:4:46: service "x": bind: want svid or none, got "mtls"`},
		{"a wildcard audience", `{ upstream: "https://a", token: { audience: "a/*" } }`, `f:4:50: service "x": audience: want up to 255 letters, digits and any of ._:/-~@+`},
		{"scope with a space", `{ upstream: "https://a", token: { scope: [a, "b c"] } }`, `f:4:51: service "x": scope: want printable words without space, quote or backslash`},
		{"scope twice", `{ upstream: "https://a", token: { scope: [a, a] } }`, `f:4:51: service "x": scope: "a" stands twice`},
		{"inject nothing", `{ upstream: "https://a", inject: {} }`, `f:4:39: service "x": inject: want one or more of basic, bearer, header, oauth2, query, certificate, sigv4 and hmac`},
		{"inject twice", `{ upstream: "https://a", inject: { basic: { credential: a }, bearer: { credential: b } } }`, `f:4:75: service "x": inject: basic and bearer both set Authorization: want one of them`},
		{"inject, no upstream", `{ inject: { basic: { credential: a } } }`, `f:4:6: service "x": inject wants an upstream`},
		{"two that sign", `{ upstream: "https://a", inject: { sigv4: { credential: a, region: r, service: s }, hmac: { credential: b } } }`, `f:4:96: service "x": inject: sigv4 and hmac cannot both be the last to sign: want one of them`},
		{"a header under the signature's", `{ upstream: "https://a", inject: { sigv4: { credential: a, region: r, service: s }, header: { name: x_amz_date, credential: b } } }`, `f:4:48: service "x": inject: header and sigv4 both set X-Amz-Date: want one of them`},
		{"a token and a header for it", `{ upstream: "https://a", inject: { header: { name: AUTHORIZATION, credential: b }, oauth2: { token_url: "https://t", credential: a } } }`, `f:4:49: service "x": inject: oauth2 and header both set Authorization: want one of them`},
		{"a certificate over http", `{ upstream: "http://a", inject: { certificate: { credential: a } } }`, `f:4:53: service "x": certificate: want an https upstream, which asks for one`},
		{"oauth2 over http", `{ upstream: "https://a", inject: { oauth2: { token_url: "http://t", credential: a } } }`, `f:4:62: service "x": token_url: want https: the client's secret is sent there`},
		{"oauth2 without a place", `{ upstream: "https://a", inject: { oauth2: { credential: a } } }`, `f:4:49: missing key "token_url" in inject.oauth2 of service "x"`},
		{"oauth2 otherwise", `{ upstream: "https://a", inject: { oauth2: { token_url: "https://t", credential: a, auth: jwt } } }`, `f:4:96: service "x": auth: want basic or post, got "jwt"`},
		{"oauth2 with another grant", `{ upstream: "https://a", inject: { oauth2: { token_url: "https://t", credential: a, params: { grant_type: b } } } }`, `f:4:112: service "x": params: "grant_type" is not for params to set`},
		{"oauth2 that dials all", `{ upstream: "https://a", inject: { oauth2: { token_url: "https://t", credential: a, dial: [0.0.0.0/0] } } }`, `f:4:97: service "x": dial[0]: opens every network: name the ones that are meant`},
		{"a region with a slash", `{ upstream: "https://a", inject: { sigv4: { credential: a, region: a/b, service: s } } }`, `f:4:73: service "x": region: want lower-case letters, digits and hyphens`},
		{"a body without end", `{ upstream: "https://a", inject: { hmac: { credential: a, body_limit: 1GiB } } }`, `f:4:76: service "x": body_limit: want between 1B and 64MiB`},
		{"a signature as the time", `{ upstream: "https://a", inject: { hmac: { credential: a, header: x_timestamp } } }`, `f:4:47: service "x": hmac: header and timestamp are the same field`},
		{"a signature of a hop", `{ upstream: "https://a", inject: { hmac: { credential: a, headers: [te] } } }`, `f:4:74: service "x": headers: Te is made anew at each hop: the body's hash covers what it says of the body`},
		{"a signature of itself", `{ upstream: "https://a", inject: { hmac: { credential: a, headers: [x-signature] } } }`, `f:4:74: service "x": headers: "x-signature" is signed already`},
		{"a parameter with an escape", `{ upstream: "https://a", inject: { query: { name: "a&b", credential: a } } }`, `f:4:56: service "x": name: want a parameter's name of up to 64 letters, digits and any of -_.$`},
		{"inject misspelt", `{ upstream: "https://a", inject: { sigv4: { credential: a, regoin: r, service: s } } }`, "f:4:48: missing key \"region\" in inject.sigv4 of service \"x\"\nf:4:65: unknown key \"regoin\" in inject.sigv4 of service \"x\"; did you mean \"region\"?"},
		{"inject unknown", `{ upstream: "https://a", inject: { baisc: {} } }`, `f:4:41: unknown key "baisc" in inject of service "x"; did you mean "basic"?`},
		{"a bearer of nothing", `{ upstream: "https://a", inject: { bearer: {} } }`, `f:4:49: service "x": bearer: want one of credential and mint`},
		{"a bearer of both", `{ upstream: "https://a", inject: { bearer: { credential: a, mint: { audience: b } } } }`, `f:4:49: service "x": bearer: want one of credential and mint`},
		{"a mint for nobody", `{ upstream: "https://a", inject: { bearer: { mint: { audience: "" } } } }`, `f:4:57: service "x": mint: want an audience`},
		{"a literal credential", `{ upstream: "https://a", inject: { basic: { credential: "ada:S3cret" } } }`, `f:4:62: service "x": credential: want a name such as crm/login: segments of lower-case letters, digits, dots, hyphens and underscores`},
		{"a climbing credential", `{ vend: { credential: "a/../b" } }`, `f:4:28: service "x": credential: want a name such as crm/login: segments of lower-case letters, digits, dots, hyphens and underscores`},
		{"a framing header", `{ upstream: "https://a", inject: { header: { name: transfer-encoding, credential: a } } }`, `f:4:57: service "x": name: Transfer-Encoding is not for services to set`},
		{"a proxy's header", `{ upstream: "https://a", inject: { header: { name: Proxy-Authorization, credential: a } } }`, `f:4:57: service "x": name: Proxy-Authorization is not for services to set`},
		{"no header", `{ upstream: "https://a", inject: { header: { name: "a b", credential: a } } }`, `f:4:57: service "x": name: "a b" is not a header's name`},
		{"a broken prefix", `{ upstream: "https://a", inject: { header: { name: X-Key, prefix: "a\nb", credential: a } } }`, `f:4:72: service "x": prefix: want at most 64 printable characters`},
		{"vend with an upstream", `{ upstream: "https://a", vend: { credential: a } }`, `f:4:18: service "x": upstream: leave it out: the application connects by itself with what is vended`},
		{"a short lease", `{ vend: { credential: a, ttl: 1s } }`, `f:4:36: service "x": ttl: want between 10s and 24h0m0s`},
		{"a long stale", `{ vend: { credential: a, stale: 25h } }`, `f:4:38: service "x": stale: want between 0s and 24h0m0s`},
		{"no place", `{ upstream: { dial: [127.0.0.0/8] } }`, `f:4:18: upstream of service "x": want one of url and targets`},
		{"a url and targets", `{ upstream: { url: "https://a", targets: ["https://b"] } }`, `f:4:47: upstream of service "x": targets: want one of url and targets: the targets are all that there is`},
		{"no target", `{ upstream: { targets: [] } }`, `f:4:29: upstream of service "x": targets: an empty list reaches nothing`},
		{"a target for targets", `{ upstream: { targets: "https://a" } }`, `f:4:29: upstream.targets of service "x": want a list such as [a, b], got text`},
		{"targets of two schemes", `{ upstream: { targets: ["https://a", "http://b"] } }`, `f:4:43: upstream of service "x": targets[1]: want the scheme and the path of the first: they are instances of one service`},
		{"targets of two paths", `{ upstream: { targets: ["https://a/v1", "https://b/v2"] } }`, `f:4:46: upstream of service "x": targets[1]: want the scheme and the path of the first: they are instances of one service`},
		{"a target twice", `{ upstream: { targets: ["https://a", "https://b", "https://A:443/"] } }`, `f:4:56: upstream of service "x": targets[2]: stands twice`},
		{"a target with a query", `{ upstream: { targets: ["https://a", "https://b?c"] } }`, `f:4:43: upstream of service "x": want a URL without a query`},
		{"targets over plain http", `{ upstream: { targets: ["http://a", "http://b"] } }`, `f:4:6: service "x": bind must be written out for a plain http upstream, which cannot see the caller's certificate: token: { bind: none }`},
		{"dial everything", `{ upstream: { url: "https://a", dial: [0.0.0.0/0] } }`, `f:4:45: upstream of service "x": dial[0]: opens every network: name the ones that are meant`},
		{"dial with bits", `{ upstream: { url: "https://a", dial: [127.0.0.1/8] } }`, `f:4:45: upstream of service "x": dial[0]: has bits beyond its length: write 127.0.0.0/8`},
		{"dial mapped", `{ upstream: { url: "https://a", dial: ["::ffff:127.0.0.0/104"] } }`, `f:4:45: upstream of service "x": dial[0]: write an IPv4 network as one`},
		{"dial an address", `{ upstream: { url: "https://a", dial: [127.0.0.1] } }`, `f:4:45: upstream.dial[0] of service "x": netip.ParsePrefix("127.0.0.1"): no '/'`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := service.Parse(map[string][]byte{"f": []byte(head + tc.entry + "\n")})
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	const want = `want a DNS label`
	for name, bad := range map[string]string{
		"a": "", "a-1": "", "0": "", strings.Repeat("a", 63): "",
		strings.Repeat("a", 64): want, "A": want, "a.b": want, "a_b": want, "-a": want, "a-": want, "a/b": want, "é": want,
		"localhost": "the name is taken", "v1": "the name is taken",
	} {
		_, err := service.Parse(map[string][]byte{"f": []byte("version: 1\nowner: t\nservices:\n  \"" + name + "\": https://a\n")})
		switch {
		case bad == "" && err != nil:
			t.Errorf("%q: %v", name, err)
		case bad != "" && (err == nil || !strings.Contains(err.Error(), "f:4:3: service") || !strings.Contains(err.Error(), bad)):
			t.Errorf("%q: got %v, want %q", name, err, bad)
		}
	}
}

func TestWholeFiles(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"another version":     {"version: 2\nowner: t\nservicez: {}\n", `f:1:10: version: want 1, the only one there is`},
		"no version":          {"owner: t\nservices: {}\n", `f:1:1: missing key "version"`},
		"no owner":            {"version: 1\nservices: {}\n", `f:1:1: missing key "owner"`},
		"no services":         {"version: 1\nowner: t\n", `f:1:1: missing key "services"`},
		"a list of services":  {"version: 1\nowner: t\nservices: [a]\n", `f:3:11: services: want a mapping of service names, got a list`},
		"a list":              {"[a]\n", `f:1:1: want a mapping, got a list`},
		"a service twice":     {"version: 1\nowner: t\nservices:\n  a: https://a\n  a: https://b\n", `f:5:3: key "a" stands twice (first in line 4) in services`},
		"a name and an entry": {"version: 1\nowner: t\nservices:\n  A: ftp://a\n", "f:4:3: service \"A\": want a DNS label: up to 63 lower-case letters, digits and hyphens\nf:4:6: service \"A\": want an http or https URL, got \"ftp\""},
	} {
		_, err := service.Parse(map[string][]byte{"f": []byte(tc.file)})
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\ngot  %v\nwant %s", name, err, tc.want)
		}
	}
}

func TestAcrossFilesBothPlacesAreNamed(t *testing.T) {
	_, err := service.Parse(map[string][]byte{
		"a.yaml": []byte("version: 1\nowner: red\nservices:\n  crm: https://a\n  pay: { upstream: \"https://p\", token: { audience: money } }\n"),
		"b.yaml": []byte("version: 1\nowner: blue\nservices:\n  bank: { upstream: \"https://b\", token: { audience: money } }\n  crm: https://b\n"),
		"c.yaml": []byte("version: 1\n"),
	})
	want := []string{
		`c.yaml:1:1: missing key "owner"`,
		`c.yaml:1:1: missing key "services"`,
		`b.yaml:5:3: service "crm": stands twice: first at a.yaml:4:3, owned by red`,
		`a.yaml:5:3: service "pay": audience "money" is that of service "bank" at b.yaml:4:3: a token is minted for one service`,
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse holds that a catalogue that is accepted keeps the rules that others rely on.
func FuzzParseKeepsTheRules(f *testing.F) {
	f.Add([]byte(sample))
	for _, seed := range []string{
		`{ token: { bind: none, audience: "https://a/b" } }`, `https://[::1]:8443/a`, `{ upstream: { url: "http://169.254.169.254", dial: [169.254.0.0/16] }, token: { bind: none } }`,
		`{ upstream: "https://a", inject: { certificate: { credential: a }, query: { name: b, credential: c }, oauth2: { token_url: "https://t", credential: d, params: { x: y } } } }`,
		`{ upstream: "https://a", inject: { header: { name: x-key, credential: a }, hmac: { credential: b, headers: [host], body_limit: 2MiB } } }`,
		`{ upstream: "https://a", inject: { sigv4: { credential: b, region: r, service: s3 } } }`, `{ upstream: { targets: ["https://a/b", "https://c/b"], dial: [127.0.0.0/8] } }`,
		`{ upstream: "https://a", inject: { header: { name: x-key, prefix: "Token ", credential: a/b } } }`, `{ upstream: "https://a", inject: { bearer: { mint: { audience: b, scope: [c] } } } }`,
	} {
		f.Add([]byte(head + seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := service.Parse(map[string][]byte{"f": data})
		if err != nil {
			return
		}
		for _, s := range c.All() {
			checkRules(t, c, s)
		}
	})
}

func checkRules(t *testing.T, c *service.Catalog, s *service.Service) {
	t.Helper()
	set := 0
	for _, given := range []bool{s.Token != nil, s.Inject != nil, s.Vend != nil} {
		if given {
			set++
		}
	}
	got, ok := c.Get(s.Name)
	https := s.Upstream.URL != nil && s.Upstream.URL.Scheme == "https"
	switch {
	case set != 1 || got != s || !ok || s.Pos == "" || s.Stale < 0:
		t.Errorf("%+v", s)
	case strings.ContainsAny(s.Name, "/.:* ") || s.Name == "":
		t.Errorf("a name that is no label: %q", s.Name)
	case s.Token != nil && s.Token.Bind == service.BindSVID && !https:
		t.Errorf("bound, and the upstream cannot see it: %+v", s)
	case s.Token != nil && (s.Token.Bind == "" || s.Token.Audience == "" || strings.ContainsAny(s.Token.Audience, "*|, \t\n")):
		t.Errorf("token %+v", s.Token)
	case (s.Upstream.URL == nil) != (len(s.Upstream.Targets) == 0), s.Upstream.URL != nil && s.Upstream.Targets[0] != s.Upstream.URL:
		t.Errorf("targets %v, URL %v", s.Upstream.Targets, s.Upstream.URL)
	case s.Upstream.URL != nil && (s.Upstream.URL.User != nil || s.Upstream.URL.RawQuery != "" || s.Upstream.URL.Host == ""):
		t.Errorf("upstream %v", s.Upstream.URL)
	case s.Mode == service.ModeInject && s.Upstream.URL == nil:
		t.Errorf("injected into nothing: %+v", s)
	case s.Inject != nil && len(s.Inject.Credentials()) == 0 && s.Inject.Mint == nil:
		t.Errorf("inject %+v", s.Inject)
	}
	for _, p := range s.Upstream.Dial {
		if p.Bits() == 0 || p != p.Masked() {
			t.Errorf("dial %s", p)
		}
	}
}
