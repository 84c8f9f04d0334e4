package route_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/service"
)

const services = `version: 1
owner: t
services:
  root: { upstream: "https://a", match: /** }
  orders: { upstream: "https://a", match: /orders/** }
  items: { upstream: "https://a", match: /orders/*/items }
  latest: { upstream: "https://a", match: [/orders/latest/items, /exact] }
  reads: { upstream: "https://a", match: { path: /docs/**, methods: [GET] } }
  writes: { upstream: "https://a", match: { path: /docs/**, methods: [PUT, POST] } }
  portal: { upstream: "https://a", match: { host: portal.test, path: /orders/** } }
  hidden: https://a
`

func table(t *testing.T, file string, hosts ...string) *route.Table {
	t.Helper()
	c, err := service.Parse(map[string][]byte{"team.yaml": []byte(file)})
	if err != nil {
		t.Fatal(err)
	}
	tab, err := route.New(c, hosts)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestFind(t *testing.T) {
	tab := table(t, services, "app.test", "portal.test")
	if tab.Len() != 8 {
		t.Errorf("%d routes", tab.Len())
	}
	for request, want := range map[string]string{
		"app.test GET /":                    "root",
		"app.test GET /x":                   "root",
		"app.test GET /orders":              "orders",
		"app.test GET /orders/":             "orders",
		"app.test GET /orders/7":            "orders",
		"app.test GET /ordersx":             "root",
		"app.test GET /Orders":              "root",
		"app.test GET /orders/7/items":      "items",
		"app.test GET /orders//items":       "orders", // hygiene refuses it; * is one whole segment all the same
		"app.test GET /orders/7/items/":     "orders",
		"app.test GET /orders/latest/items": "latest",
		"app.test GET /orders/latest/other": "orders",
		"app.test GET /exact":               "latest",
		"app.test GET /exact/":              "root",
		"app.test HEAD /docs/a":             "reads",
		"app.test PUT /docs/a":              "writes",
		"app.test DELETE /docs/a":           "root",
		"portal.test GET /orders/7":         "portal",
		"portal.test GET /orders/7/items":   "items", // the path is more specific than the host
		"PORTAL.test GET /orders/7":         "orders",
		"portal.test:443 GET /orders/7":     "orders",
	} {
		part := strings.Fields(request)
		r, _ := tab.Find(part[0], part[2], part[1])
		if r == nil || r.Service.Name != want {
			t.Errorf("%s: %v, want %s", request, r, want)
		}
	}
}

func TestFindNothing(t *testing.T) {
	tab := table(t, `version: 1
owner: t
services:
  docs: { upstream: "https://a", match: [{ path: /docs/**, methods: [GET] }, { path: /docs/*, methods: [PUT, GET] }] }
  other: { upstream: "https://a", match: { host: a.test, path: /a } }
`, "a.test", "b.test")
	for request, want := range map[string]string{
		"a.test DELETE /docs/x": "GET PUT", "a.test PUT /docs/x/y": "GET", "b.test GET /a": "", "a.test GET /": "", "a.test GET /doc": "", "a.test GET /docs/x": "-",
	} {
		part := strings.Fields(request)
		r, others := tab.Find(part[0], part[2], part[1])
		if got := strings.Join(others, " "); got != want && (r == nil || want != "-") {
			t.Errorf("%s: %v, others %q, want %q", request, r, got, want)
		}
	}
	if r, others := new(route.Table).Find("a.test", "/", "GET"); r != nil || others != nil {
		t.Errorf("the zero table has %v, %v", r, others)
	}
}

func TestHostOfNoOrigin(t *testing.T) {
	c, err := service.Parse(map[string][]byte{"team.yaml": []byte(services)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = route.New(c, []string{"app.test", "portals.test"})
	const want = `team.yaml:10:43: service "portal": match: portal.test is the host of no origin of the gateway; did you mean "portals.test"?`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// FuzzFindIsTheMostSpecific holds the tree against the rules as they are written: of all matches that
// serve a request none beats the one that is found.
func FuzzFindIsTheMostSpecific(f *testing.F) {
	f.Add("/a/**,/a/*,/a/b,/**,/*/b", "/a/b")
	f.Add("/a/*/c/**,/*/b/**,/a/**", "/a/b/c/d")
	f.Add("/*/*/*,/a/*/*,/*/b/*", "/a/b/")
	f.Fuzz(func(t *testing.T, patterns, path string) {
		path, err := hygiene.CleanPath(path)
		if err != nil {
			return
		}
		var file strings.Builder
		file.WriteString("version: 1\nowner: t\nservices:\n")
		all := strings.Split(patterns, ",")
		for i, p := range all[:min(len(all), 20)] {
			fmt.Fprintf(&file, "  s%d: { upstream: \"https://a\", match: %q }\n", i, p)
		}
		c, err := service.Parse(map[string][]byte{"f": []byte(file.String())})
		if err != nil {
			return
		}
		tab, err := route.New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		var best string
		for _, s := range c.All() {
			if p := s.Browser.Matches[0].Path; matches(p, path) && (best == "" || beats(p, best)) {
				best = p
			}
		}
		r, _ := tab.Find("h", path, "GET")
		if (r == nil) != (best == "") || r != nil && r.Match.Path != best {
			t.Errorf("%q among %q: found %v, want %q", path, patterns, r, best)
		}
	})
}

// matches is the definition: segment by segment.
func matches(pattern, path string) bool {
	base, deep := strings.CutSuffix(pattern, "/**")
	want, have := strings.Split(base, "/"), strings.Split(path, "/")
	if len(have) < len(want) || !deep && len(have) != len(want) {
		return false
	}
	for i, s := range want {
		if s != have[i] && (s != "*" || have[i] == "") {
			return false
		}
	}
	return true
}

// beats compares two patterns that match the same path.
func beats(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(as), len(bs)) {
		if x, y := general(as[i]), general(bs[i]); x != y {
			return x < y
		}
	}
	return len(as) < len(bs) // the one that ends here before the one that goes on with /**
}

func general(segment string) int {
	switch segment {
	case "**":
		return 2
	case "*":
		return 1
	}
	return 0
}

// TestFindAllocatesNothing: a lookup stands on the way of every request.
func TestFindAllocatesNothing(t *testing.T) {
	tab := table(t, services, "app.test", "portal.test")
	if n := testing.AllocsPerRun(100, func() { tab.Find("app.test", "/orders/7/items", "GET") }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			var file strings.Builder
			file.WriteString("version: 1\nowner: t\nservices:\n")
			for i := range n {
				fmt.Fprintf(&file, "  s%d: { upstream: \"https://a\", match: /api/s%d/*/items/** }\n", i, i)
			}
			c, err := service.Parse(map[string][]byte{"f": []byte(file.String())})
			if err != nil {
				b.Fatal(err)
			}
			tab, err := route.New(c, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				tab.Find("app.test", "/api/s7/42/items/9", "GET")
			}
		})
	}
}
