package upstream_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// TestConformance has the statements that are held between the route and the service, by their ids.
func TestConformance(t *testing.T) {
	t.Run("PRX-1", testOnlyConfiguredHosts)
	t.Run("PRX-2", testOnePath)
	t.Run("PRX-3", testMethods)
	t.Run("PRX-5", testHopByHop)
	t.Run("PRX-6", func(t *testing.T) {
		t.Run("http1", testHostile)
		t.Run("h2", testHostileHTTP2)
		t.Run("limit", testBodyLimit)
	})
	t.Run("PRX-7", testRedirects)
	t.Run("PRX-9", testStreams)
	t.Run("PRX-10", testSetCookies)
	t.Run("PRX-12", testCacheControl)
	t.Run("SESS-11", testCookies)
}

// testOnlyConfiguredHosts names a second server in every way that a request has.
func testOnlyConfiguredHosts(t *testing.T) {
	victim := newCounting(t, doortest.Echo)
	at := strings.TrimPrefix(victim.url, "http://")
	var elsewhere atomic.Int64
	var own string
	url := plain(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Host != own || strings.Contains(r.RequestURI, "://") {
			elsewhere.Add(1)
		}
	})
	own = strings.TrimPrefix(url, "http://")
	g := newGate(t, crm(url)+named("keyed", url))
	for _, line := range []string{
		"GET http://" + at + "/crm/ HTTP/1.1\r\nHost: " + at, "GET http://" + at + "/crm/ HTTP/1.1\r\nHost: door.test",
		"GET http://door.test@" + at + "/crm/ HTTP/1.1\r\nHost: door.test", "GET //" + at + "/crm/ HTTP/1.1\r\nHost: door.test",
		"GET /crm//" + at + "/ HTTP/1.1\r\nHost: door.test", "GET /crm/@" + at + "/ HTTP/1.1\r\nHost: door.test", "GET @" + at + "/ HTTP/1.1\r\nHost: door.test",
		"GET /crm/%2f%2f" + at + "/ HTTP/1.1\r\nHost: door.test", "GET /crm/..;/" + at + " HTTP/1.1\r\nHost: door.test", "GET /crm/%2e%2e/" + at + " HTTP/1.1\r\nHost: door.test",
		"GET /crm/:8443@" + at + " HTTP/1.1\r\nHost: door.test", "GET /crm?@" + at + " HTTP/1.1\r\nHost: door.test", "GET /crm/\\" + at + " HTTP/1.1\r\nHost: door.test",
		"GET /crm/ HTTP/1.1\r\nHost: " + at, "GET /crm/ HTTP/1.1\r\nHost: door.test@" + at, "GET /keyed/ HTTP/1.1\r\nHost: door.test:80@" + at,
		"GET /crm/ HTTP/1.1\r\nHost: door.test\r\nX-Forwarded-Host: " + at, "GET /crm/ HTTP/1.1\r\nHost: door.test\r\nForwarded: host=" + at,
		"GET /crm/ HTTP/1.1\r\nHost: door.test\r\nX-Original-Url: http://" + at + "/\r\nX-Rewrite-Url: http://" + at + "/\r\nX-Host: " + at,
		"CONNECT " + at + " HTTP/1.1\r\nHost: " + at, "GET " + at + " HTTP/1.1\r\nHost: door.test",
	} {
		g.raw(t, line+"\r\nConnection: close\r\n\r\n")
	}
	for _, fields := range [][]string{
		{":path", "/crm/", ":authority", at}, {":path", "/crm/", ":authority", "door.test", "host", at}, {":path", "http://" + at + "/", ":authority", "door.test"},
		{":path", "//" + at + "/", ":authority", "door.test"}, {":path", "/crm/", ":authority", "door.test@" + at}, {":path", "/crm/@" + at, ":authority", "door.test"},
	} {
		block := []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}}
		for pair := range slices.Chunk(fields, 2) {
			block = append(block, hpack.HeaderField{Name: pair[0], Value: pair[1]})
		}
		g.sendFrames(t, block, "")
	}
	if n := victim.dials.Load(); n != 0 {
		t.Errorf("%d connections to a host that no file names", n)
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests reached the service under another name", n)
	}
}

// raw sends text and reads all that is answered.
func (g *gate) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", g.addr["http/1.1"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, text)
	all, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return string(all)
}

// testOnePath holds that the path which is decided on is the one on the wire, for paths made of all that is odd
// about paths.
func testOnePath(t *testing.T) {
	g := newGate(t, crm(plain(t, doortest.Echo)))
	var decided string
	g.change = func(_ *http.Request, c *upstream.Call) { decided = c.Path }
	conn, err := net.Dial("tcp", g.addr["http/1.1"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	answers := bufio.NewReader(conn)
	send := func(path string) doortest.Answer {
		_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: door.test\r\n\r\n", path)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		return doortest.Read(t, res)
	}
	for _, bad := range []string{
		"/crm/%2e%2e/admin", "/crm/%2E%2E%2fadmin", "/crm/..", "/crm/a/../b", "/crm/.", "/crm/a%2fb", "/crm/a%2Fb", "/crm/a%5cb", "/crm/a\\b",
		"/crm/a;b", "/crm/a%3bb", "/crm/..;/a", "/crm//a", "/crm/%00", "/crm/%0d%0aX:1", "/crm/%7f", "/%63rm/..%2f",
	} {
		if a := send(bad); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", bad, a.Status)
		}
	}
	pieces := []string{
		"a", "/", "%41", "%2d", "%7e", "%c3%a9", "%C3%A9", "%25", "%252e", "%252f", "%2e", ".", "..", "%2f", ";", "%3a", ":", "@", "%40", "+", "%20", "(", "'", "%27", "*", "%2a", "~", "=", "&",
	}
	passed := 0
	for range 2000 {
		path := "/crm/"
		for range rand.IntN(6) {
			path += pieces[rand.IntN(len(pieces))]
		}
		a := send(path)
		if a.StatusCode == http.StatusBadRequest {
			continue
		}
		passed++
		wire := a.Seen(t).URI
		if clean, err := hygiene.CleanPath(wire); wire != decided || err != nil || clean != wire {
			t.Errorf("%s: decided on %s, sent %s (%v)", path, decided, wire, err)
		}
	}
	if passed < 200 {
		t.Errorf("only %d paths passed", passed)
	}
}

func testMethods(t *testing.T) {
	at := newCounting(t, doortest.Echo)
	g := newGate(t, strings.Replace(crm(at.url), "[{ host: door.test, path: /crm/** }", "[{ host: door.test, path: /crm/**, methods: [GET, PUT] }", 1))
	for method, status := range map[string]string{
		"GET": "200", "HEAD": "200", "PUT": "200", "POST": "405", "DELETE": "405", "PROPFIND": "405", "TRACE": "405", "TRACK": "405", "CONNECT": "405", "DEBUG": "405", "get": "405", "X_Y": "405",
	} {
		target := "/crm/x"
		if method == "CONNECT" {
			target = "door.test:443"
		}
		before := at.calls.Load()
		got := g.raw(t, method+" "+target+" HTTP/1.1\r\nHost: door.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+status) || (at.calls.Load() != before) != (status == "200") {
			t.Errorf("%s: %.60q", method, got)
		}
		if method == "POST" && !strings.Contains(got, "Allow: GET, PUT") {
			t.Errorf("POST: %q does not say what is allowed", got)
		}
	}
}

// testHopByHop: what is said of a connection ends with it, both ways, and takes nothing of ours along.
func testHopByHop(t *testing.T) {
	hops := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Upgrade", "X-Hop"}
	url := plain(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range hops {
			if name != "Trailer" {
				w.Header().Set(name, "x-hop")
			}
		}
		w.Header().Set("X-Kept", "1")
		doortest.Echo(w, r)
	})
	g := newGate(t, crm(url)+named("keyed", url))
	for name, want := range map[string]string{"crm": "Authorization: " + basic, "keyed": "X-User-Id: " + userID} {
		got := g.raw(t, "GET /"+name+"/ HTTP/1.1\r\nHost: door.test\r\nConnection: close, Authorization, X-User-Id, X-Hop\r\nX-Hop: 1\r\nAuthorization: Bearer theirs\r\nX-User-Id: root\r\n"+
			"Keep-Alive: 5\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nTe: gzip\r\nX-End: 1\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
		if err != nil {
			t.Fatal(err)
		}
		arrived := doortest.Read(t, res).Seen(t).Header
		field, value, _ := strings.Cut(want, ": ")
		if v := arrived[field]; len(v) != 1 || v[0] != value || arrived.Get("X-End") != "1" {
			t.Errorf("%s arrived as %v", field, arrived)
		}
		for _, hop := range hops {
			if _, ok := arrived[hop]; ok {
				t.Errorf("%s reached the service", hop)
			}
			if v := res.Header.Get(hop); v != "" && v != "close" {
				t.Errorf("%s reached the browser: %q", hop, v)
			}
		}
		if res.Header.Get("X-Kept") != "1" {
			t.Errorf("got %v", res.Header)
		}
	}
}

// testRedirects: followed is none, and moved are those to the service.
func testRedirects(t *testing.T) {
	at := newCounting(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", strings.ReplaceAll(r.Header.Get("X-To"), "SELF", "http://"+r.Host))
		w.WriteHeader(http.StatusFound)
	})
	g := newGate(t, crm(at.url+"/base"))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for to, want := range map[string]string{
			"SELF/base/next?a=b#c": "/crm/next?a=b#c", "SELF/base": "/crm", "/base/next": "/crm/next", "/other": "/other", "next": "next",
			"https://elsewhere.test/base/next": "https://elsewhere.test/base/next", "//elsewhere.test/base": "//elsewhere.test/base",
			strings.Replace(at.url, "127.0.0.1", "127.0.0.2", 1) + "/base/x": strings.Replace(at.url, "127.0.0.1", "127.0.0.2", 1) + "/base/x",
		} {
			before := at.calls.Load()
			a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm/", doortest.Header("X-To", to))
			if got := a.Header.Get("Location"); a.StatusCode != http.StatusFound || got != want || at.calls.Load() != before+1 {
				t.Errorf("%s: %s %q, want %q; %d calls", to, a.Status, got, want, at.calls.Load()-before)
			}
		}
	})
}

// testStreams: the first byte is there while the service still holds the second, silence is bounded where it is
// configured, and a browser that goes takes the request along.
func testStreams(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "application/json"} {
		hold := make(chan struct{})
		g := newGate(t, crm(plain(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = fmt.Fprint(w, "first")
			w.(http.Flusher).Flush()
			<-hold
		})))
		doortest.Protocols(t, func(t *testing.T, proto string) {
			best := time.Minute
			for range 3 { // the machine may stand still once
				began := time.Now()
				res := doortest.Open(t, g.client(t, proto), "GET", "http://door.test/crm/", nil)
				if _, err := io.ReadFull(res.Body, make([]byte, 5)); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				best = min(best, time.Since(began))
			}
			if best > 500*time.Millisecond { // 100 ms, times five
				t.Errorf("%s: the first byte took %s", kind, best)
			}
		})
		close(hold)
	}
	t.Run("silence", testSilence)
	t.Run("abort", testBrowserGoes)
}

func testSetCookies(t *testing.T) {
	url := plain(t, func(w http.ResponseWriter, r *http.Request) {
		for _, c := range []string{
			"theme=dark; Path=/", "__Host-Http-ic=stolen; Path=/; Secure", "session=1", "Theme=light", "=__Host-Http-ic=stolen", "theme", "themed=1", " theme =x",
		} {
			w.Header().Add("Set-Cookie", c)
		}
		w.Header().Set("Set-Cookie2", "theme=1")
		w.Header().Set("Trailer", "Set-Cookie")
		if r.URL.Path == "/early" {
			w.WriteHeader(http.StatusEarlyHints)
		}
		_, _ = fmt.Fprint(w, "x")
	})
	g := newGate(t, crm(url, "set_cookies: [theme]")+named("keyed", url))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for path, want := range map[string][]string{"crm/": {"theme=dark; Path=/", " theme =x"}, "crm/early": {"theme=dark; Path=/", " theme =x"}, "keyed/": nil} {
			var interim []http.Header
			a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/"+path, func(r *http.Request) { *r = *r.WithContext(doortest.TraceEarly(r.Context(), &interim)) })
			got := a.Header["Set-Cookie"]
			for i := range got { // net/http trims
				if !strings.Contains(got[i], strings.TrimSpace(want[min(i, len(want)-1)])) {
					t.Errorf("%s set %q", path, got)
				}
			}
			if len(got) != len(want) || a.Header["Set-Cookie2"] != nil || a.Trailer["Set-Cookie"] != nil || len(interim) != 0 {
				t.Errorf("%s set %q, %v, %v, early %v", path, got, a.Header["Set-Cookie2"], a.Trailer, interim)
			}
		}
	})
}

func testCacheControl(t *testing.T) {
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, r *http.Request) {
		if v := r.Header.Get("X-Say"); v != "" {
			w.Header().Set("Cache-Control", v)
		}
		w.Header().Set("CDN-Cache-Control", "max-age=600")
		w.Header().Set("Cloudflare-CDN-Cache-Control", "max-age=600")
		w.Header().Set("Surrogate-Control", "max-age=600")
		w.Header().Set("X-Accel-Expires", "600")
	})))
	anonymous := false
	g.change = func(_ *http.Request, c *upstream.Call) { c.Anonymous = anonymous }
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for said, want := range map[string]string{
			"": "", "public, max-age=600": "", "max-age=600": "", "no-cache": "", "private, s-maxage=60": "", "private, public": "", `private="set-cookie"`: "", `no-store="x"`: "",
			"private, max-age=60": "private, max-age=60", "no-store": "no-store", "Private": "Private", "max-age=60 , PRIVATE": "max-age=60 , PRIVATE",
		} {
			if want == "" {
				want = "private, no-store"
			}
			a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm/", doortest.Header("X-Say", said))
			if got := a.Header["Cache-Control"]; len(got) != 1 || got[0] != want {
				t.Errorf("%q became %q, want %q", said, got, want)
			}
			for name := range a.Header {
				if strings.Contains(strings.ToLower(name), "cdn-") || name == "Surrogate-Control" || name == "X-Accel-Expires" {
					t.Errorf("%s passed", name)
				}
			}
		}
	})
	anonymous = true
	if a := doortest.Do(t, g.client(t, "h2"), "GET", "http://door.test/crm/", doortest.Header("X-Say", "public, max-age=600")); a.Header.Get("Cache-Control") != "public, max-age=600" {
		t.Errorf("nobody's answer became %q", a.Header.Get("Cache-Control"))
	}
}

// testCookies: ours never pass, alone or given twice, over HTTP/2 in pieces too, whatever the caller of the proxy
// left in the header.
func testCookies(t *testing.T) {
	url := plain(t, doortest.Echo)
	g := newGate(t, crm(url, "cookies: [theme, lang]")+named("keyed", url))
	g.change = func(r *http.Request, c *upstream.Call) { c.Header["Cookie"] = r.Header["Cookie"] }
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for sent, want := range map[string]string{
			"__Host-Http-ic=x": "", "__Host-ic=x; __Host-Http-ic=y": "", "__Host-Http-ic=x; __Host-Http-ic=y; theme=dark": "theme=dark", "__Host-Http-ic-tx=x; lang=de; theme=dark": "lang=de; theme=dark",
			"theme=dark; theme=light; lang=de": "lang=de", "theme=dark; Theme=light": "theme=dark", "theme": "", `theme="a; __Host-Http-ic=x; lang=b"`: `lang=b"`, "": "",
		} {
			for _, name := range []string{"crm", "keyed"} {
				a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/"+name+"/", func(r *http.Request) {
					if sent != "" {
						r.Header.Set("Cookie", sent)
					}
				})
				got, passes := a.Seen(t).Header["Cookie"], want
				if name == "keyed" {
					passes = ""
				}
				if strings.Join(got, "|") != passes || len(got) > 1 {
					t.Errorf("%s: %q became %q, want %q", name, sent, got, passes)
				}
			}
		}
	})
}
