package upstream

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
)

func at(t testing.TB, targets, strip string) *service.Service {
	t.Helper()
	pass := ""
	if strip != "" {
		pass = ", pass: { strip: " + strip + " }"
	}
	c, err := service.Parse(map[string][]byte{"f": []byte("version: 1\nowner: t\nservices:\n  x: { upstream: { targets: [" + targets + "] }, match: /**" + pass + ", token: { bind: none } }\n")})
	if err != nil {
		t.Fatal(err)
	}
	svc, _ := c.Get("x")
	return svc
}

func TestLocate(t *testing.T) {
	for _, c := range []struct{ targets, strip, from, to string }{
		{`"https://up"`, "", "https://up/a%20b?c=%zz&d#e%20f", "/a%20b?c=%zz&d#e%20f"},
		{`"https://up"`, "", "https://UP:443", "/"},
		{`"https://up"`, "", "//up/a", "/a"},
		{`"https://up"`, "", "/a", "/a"},
		{`"https://up"`, "", "http://up/a", "http://up/a"},
		{`"https://up"`, "", "https://up:8443/a", "https://up:8443/a"},
		{`"https://up"`, "", "https://up.evil/a", "https://up.evil/a"},
		{`"https://up"`, "", "https://up@evil/a", "https://up@evil/a"},
		{`"https://up"`, "", "https://evil@up/a", "https://evil@up/a"},
		{`"https://up"`, "", "https://up//evil/a", "https://up//evil/a"},
		{`"https://up"`, "", `https://up/\evil`, "/%5Cevil"},
		{`"https://up"`, "", "https://up/?", "/?"},
		{`"https://up"`, "", "?a", "?a"},
		{`"https://up"`, "", "", ""},
		{`"https://up"`, "", "mailto:a@up", "mailto:a@up"},
		{`"https://up"`, "", "https:/a", "https:/a"},
		{`"https://up"`, "", ":// ", ":// "},
		{`"https://up", "https://other:8443"`, "/x", "https://other:8443/a", "/x/a"},
		{`"https://up"`, "/x", "/a", "/x/a"},
		{`"https://up"`, "/x", "/x/a", "/x/x/a"},
		{`"https://up"`, "/x", "https://up", "/x"},
		{`"https://up"`, "/x", "../a", "../a"},
		{`"https://up/v1"`, "/x", "https://up/v1/a", "/x/a"},
		{`"https://up/v1"`, "/x", "/v1/a", "/x/a"},
		{`"https://up/v1"`, "/x", "/v1", "/x"},
		{`"https://up/v1"`, "/x", "/v10", "/v10"},
		{`"https://up/v1"`, "/x", "https://up/v2/a", "https://up/v2/a"},
		{`"https://up/v1"`, "", "/v1//evil", "/v1//evil"},
		{`"https://up/x"`, "/x", "/x/a", "/x/a"},
	} {
		if got := locate(c.from, at(t, c.targets, c.strip)); got != c.to {
			t.Errorf("%s by way of %s %s: %q, want %q", c.from, c.targets, c.strip, got, c.to)
		}
	}
}

// TestNoDialogs: what browsers open a dialog for does not get to one, however it is written.
func TestNoDialogs(t *testing.T) {
	const ours = `Intercom service="crm"`
	for _, c := range []struct{ from, to []string }{
		{nil, nil},
		{[]string{"Bearer"}, []string{"Bearer"}},
		{[]string{`DPoP error="use_dpop_nonce"`, "Bearer"}, []string{`DPoP error="use_dpop_nonce"`, "Bearer"}},
		{[]string{`Basic realm="x"`}, []string{ours}},
		{[]string{`BASIC realm=x`, "Digest nonce=1", "negotiate", "Negotiate abc==", "NTLM", "nTlM TlRM"}, []string{ours}},
		{[]string{`Bearer realm="x"`, `Basic realm="x"`}, []string{`Bearer realm="x"`}},
		{[]string{`Bearer realm="x", Basic realm="y"`}, []string{ours}},
		{[]string{`Bearer realm="x",Basic`, ",,basic", "\tBasic\trealm=y", "Bearer;Basic", ""}, []string{ours}},
		{[]string{`Bearer realm="basics, and more"`}, []string{`Bearer realm="basics, and more"`}},
	} {
		res := &http.Response{Header: http.Header{}}
		if c.from != nil {
			res.Header["Www-Authenticate"] = slices.Clone(c.from)
		}
		if challenge(res, "crm"); !slices.Equal(res.Header["Www-Authenticate"], c.to) {
			t.Errorf("%q: %q, want %q", c.from, res.Header["Www-Authenticate"], c.to)
		}
	}
}

// FuzzLocationLeadsHomeOrStays holds that a Location is left as it was, or leads a browser to the gateway's own
// origin, below the route's prefix: a service gains no redirect that it could not write itself.
func FuzzLocationLeadsHomeOrStays(f *testing.F) {
	for _, seed := range []string{"https://up/a", "//up//evil", "/v1/../..//evil", "https://up/v1/%2f%2fevil", `https://up/v1/\evil`, "https://up/v1?#", "/v1;a=b", "https://u:p@up/v1"} {
		f.Add(seed)
	}
	home, err := url.Parse("https://door.test/x/page")
	if err != nil {
		f.Fatal(err)
	}
	services := []*service.Service{at(f, `"https://up"`, ""), at(f, `"https://up"`, "/x"), at(f, `"https://up/v1", "https://down/v1"`, "/x"), at(f, `"https://up/v1"`, "")}
	f.Fuzz(func(t *testing.T, location string) {
		for _, svc := range services {
			moved := locate(location, svc)
			if moved == location {
				continue
			}
			ref, err := url.Parse(moved)
			if err != nil {
				t.Fatalf("%q became %q: %v", location, moved, err)
			}
			to := home.ResolveReference(ref)
			if to.Scheme != "https" || to.Host != "door.test" || to.User != nil || !strings.HasPrefix(moved, passOf(svc).Strip+"/") && moved != "/" && !hasPath(moved, passOf(svc).Strip) {
				t.Errorf("%q became %q, which leads to %s", location, moved, to)
			}
			if len(moved) > 1 && (moved[1] == '/' || moved[1] == '\\') {
				t.Errorf("%q became %q, whose first segment is a host", location, moved)
			}
		}
	})
}

// hasPath reports whether ref is path alone, with a query or a fragment or none.
func hasPath(ref, path string) bool {
	rest, ok := strings.CutPrefix(ref, path)
	return ok && path != "" && (rest == "" || rest[0] == '?' || rest[0] == '#')
}

// FuzzCookiesPassByName holds that another reader finds no name that was not given, none twice, and none of ours.
func FuzzCookiesPassByName(f *testing.F) {
	for _, seed := range []string{"theme=dark", "theme=a; theme=b", `theme="a; __Host-Http-ic=x"`, "theme = x ;lang=", "; ;theme", "theme=a\t;\tlang=b", "=theme=x", "__Host-theme=1; lang=\"x\""} {
		f.Add(seed, seed)
	}
	names := []string{"theme", "lang", "__Host-Http-ic"}
	f.Fuzz(func(t *testing.T, a, b string) {
		passed := passing([]string{a, b}, names)
		if passing([]string{a, b}, nil) != "" {
			t.Error("something passes although nothing is named")
		}
		seen := map[string]int{}
		for _, pair := range strings.Split(passed, ";") {
			name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
			seen[strings.TrimSpace(name)]++
		}
		for name, n := range seen {
			if name != "theme" && name != "lang" && name != "" || n > 1 {
				t.Errorf("%q and %q: %q has %q %d times", a, b, passed, name, n)
			}
		}
		if again := passing([]string{passed}, names); again != passed {
			t.Errorf("%q passes as %q", passed, again)
		}
		cookies, err := http.ParseCookie(passed)
		for _, c := range cookies {
			if err == nil && c.Name != "theme" && c.Name != "lang" {
				t.Errorf("%q has %q", passed, c.Name)
			}
		}
	})
}

// FuzzSetCookiesPassByName holds the same of what a service sets.
func FuzzSetCookiesPassByName(f *testing.F) {
	for _, seed := range []string{"theme=dark; Path=/", "=theme=x", "__Host-Http-ic=x", "theme", " theme=x", "theme\t=x; Secure", "theme=x\r\nSet-Cookie: y=z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		for _, kept := range settable([]string{field}, []string{"theme", "__Host-Http-ic"}) {
			name, _, _ := strings.Cut(kept, "=")
			if strings.TrimSpace(name) != "theme" || kept != field {
				t.Errorf("%q passes as %q", field, kept)
			}
		}
	})
}

func TestPath(t *testing.T) {
	for path, want := range map[string]string{
		"/orders": "/", "/orders/": "/", "/orders/7": "/7", "/ordersx": "/ordersx", "/other": "/other", "/": "/", "/orders/orders": "/orders",
	} {
		if got := Path(service.Pass{Strip: "/orders"}, path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		if got := Path(service.Pass{}, path); got != path {
			t.Errorf("%s: %s without a prefix", path, got)
		}
	}
}

// TestScrubbed: what is the origin's, or the gateway's, is not a service's to set; an application's own passes.
func TestScrubbed(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{
		"access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-private-network", "clear-site-data", "service-worker-allowed", "strict-transport-security",
		"nel", "report-to", "alt-svc", "authorization", "proxy-authenticate", "intercom-decision", "x-accel-redirect", "x-sendfile", "set-cookie2", "cdn-cache-control",
	} {
		h.Set(name, "x")
	}
	kept := []string{"Content-Security-Policy", "Etag", "Link", "Vary", "Www-Authenticate", "X-Accel-Buffering", "X-Frame-Options"}
	for _, name := range kept {
		h.Set(name, "x")
	}
	scrub(h)
	for _, name := range kept {
		if h.Get(name) == "" {
			t.Errorf("%s is gone", name)
		}
	}
	if len(h) != len(kept) {
		t.Errorf("passed: %v", h)
	}
}

// FuzzStrippedPathIsCanonical holds that what is stripped of a canonical path is one.
func FuzzStrippedPathIsCanonical(f *testing.F) {
	f.Add("/orders/7", "/orders")
	f.Add("/orders/%7B", "/orders/%7B")
	f.Fuzz(func(t *testing.T, path, strip string) {
		path, err := hygiene.CleanPath(path)
		if err != nil {
			return
		}
		if strip, err = hygiene.CleanPath(strip); err != nil || strings.HasSuffix(strip, "/") {
			return
		}
		got := Path(service.Pass{Strip: strip}, path)
		if clean, err := hygiene.CleanPath(got); err != nil || clean != got {
			t.Errorf("%q without %q is %q: %v", path, strip, got, err)
		}
	})
}
