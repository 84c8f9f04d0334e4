package localapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/sidecar/localapi"
)

// raw sends a request as it stands, and returns the status line and what follows.
func (w *world) raw(request string) string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.door)
	must(w.t, err)
	defer c.Close()
	_, err = c.Write([]byte(request))
	must(w.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(w.t, err)
	defer resp.Body.Close()
	var b strings.Builder
	_ = resp.Write(&b)
	return b.String()
}

// TestTargets says for each way to write a request where it goes. The service answers with what it saw.
func TestTargets(t *testing.T) {
	seen := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "saw=%s", r.URL.RequestURI()) })
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, seen), bearer))
	_, port, _ := net.SplitHostPort(w.door)
	for request, want := range map[string]string{
		"GET /inventory/a HTTP/1.1\r\nHost: 127.0.0.1:" + port:                                "saw=/a",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost:" + port:                                "saw=/a",
		"GET /inventory/a HTTP/1.1\r\nHost: LOCALHOST":                                        "saw=/a",
		"GET /inventory/a HTTP/1.1\r\nHost: [::1]:" + port:                                    "saw=/a",
		"GET /a/inventory HTTP/1.1\r\nHost: inventory":                                        "saw=/a/inventory",
		"GET /v1/token HTTP/1.1\r\nHost: inventory":                                           "saw=/v1/token",
		"GET /a HTTP/1.1\r\nHost: inventory:80":                                               "saw=/a",
		"GET /a HTTP/1.1\r\nHost: inventory:" + port:                                          "saw=/a",
		"GET http://inventory/a HTTP/1.1\r\nHost: inventory":                                  "saw=/a",
		"GET http://inventory HTTP/1.1\r\nHost: inventory":                                    "saw=/",
		"GET http://127.0.0.1:" + port + "/inventory/a HTTP/1.1\r\nHost: 127.0.0.1:" + port:   "saw=/a",
		"GET /inventory/%7eme/a%20b HTTP/1.1\r\nHost: localhost":                              "saw=/~me/a%20b",
		"GET /inventory/%21%c3%bc HTTP/1.1\r\nHost: localhost":                                "saw=/!%C3%BC",
		"GET /a HTTP/1.1\r\nHost: inventory:9999":                                             "FOREIGN_HOST",
		"GET /inventory/a HTTP/1.1\r\nHost: 127.0.0.1:1":                                      "FOREIGN_HOST",
		"GET /inventory/a HTTP/1.1\r\nHost: evil.example:" + port:                             "FOREIGN_HOST",
		"GET /a HTTP/1.1\r\nHost: inventory.":                                                 "FOREIGN_HOST",
		"GET /inventory/a HTTP/1.1\r\nHost: 127.0.0.1.evil.example":                           "FOREIGN_HOST",
		"GET /inventory/a HTTP/1.1\r\nHost: 10.0.0.1":                                         "FOREIGN_HOST",
		"GET http://example.com/a HTTP/1.1\r\nHost: example.com":                              "no_proxy",
		"GET https://inventory/a HTTP/1.1\r\nHost: inventory":                                 "SCHEME",
		"CONNECT inventory:443 HTTP/1.1\r\nHost: inventory:443":                               `"code":"CONNECT"`,
		"TRACE /inventory/a HTTP/1.1\r\nHost: localhost":                                      "BAD_REQUEST",
		"GET /inventory/../v1/token HTTP/1.1\r\nHost: localhost":                              "BAD_REQUEST",
		"GET /inventory/%2e%2e/x HTTP/1.1\r\nHost: localhost":                                 "BAD_REQUEST",
		"GET /inventory%2fa HTTP/1.1\r\nHost: localhost":                                      "BAD_REQUEST",
		"GET //inventory/a HTTP/1.1\r\nHost: localhost":                                       "BAD_REQUEST",
		"GET /inventory/a HTTP/1.0\r\nAccept: x":                                              "BAD_HOST",
		"GET / HTTP/1.1\r\nHost: localhost":                                                   "NO_SUCH_PATH",
		"GET /inventori/a HTTP/1.1\r\nHost: localhost":                                        `did you mean \"inventory\"?`,
		"GET /a HTTP/1.1\r\nHost: nothing-like-it":                                            "there are inventory",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: tls": "BAD_REQUEST",
	} {
		if got := w.raw(request + "\r\n\r\n"); !strings.Contains(got, want) {
			t.Errorf("%q\nwant %s, got %s", request, want, got)
		}
	}
}

// TestClientsAsTheyCome: what widespread HTTP clients send without being asked to. The JDK's offers h2c with
// every first request, also with one that has a body; fetch of Node sends one of a browser's fields.
func TestClientsAsTheyCome(t *testing.T) {
	var svc later
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, &svc), bearer))
	svc.set(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "saw %s %s %q %q", r.Method, body, r.Header["Upgrade"], r.Header["Http2-Settings"])
	}))
	const jdk = "Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAGAAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17\r\n"
	const node = "Host: localhost\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\n"
	for request, want := range map[string]string{
		"GET /inventory/a HTTP/1.1\r\n" + jdk + "\r\n":                          `saw GET  [] []`,
		"POST /inventory/a HTTP/1.1\r\n" + jdk + "Content-Length: 2\r\n\r\nhi":  `saw POST hi [] []`,
		"GET /inventory/a HTTP/1.1\r\n" + node + "\r\n":                         `saw GET  [] []`,
		"POST /inventory/a HTTP/1.1\r\n" + node + "Content-Length: 2\r\n\r\nhi": `saw POST hi [] []`,
	} {
		if got := w.raw(request); !strings.Contains(got, want) {
			t.Errorf("%q\nwant %s, got %s", request, want, got)
		}
	}
}

// TestBrowsersAreRefused: a page on the same machine reaches neither a service nor the sidecar, whatever it
// makes a browser send. No request of it leaves the sidecar.
func TestBrowsersAreRefused(t *testing.T) {
	var reached atomic.Int64
	seen := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, seen), bearer))
	_, port, _ := net.SplitHostPort(w.door)
	for _, request := range []string{
		"POST /inventory/a HTTP/1.1\r\nHost: localhost:" + port + "\r\nContent-Length: 0\r\nOrigin: https://evil.example",    // a form
		"GET /inventory/a HTTP/1.1\r\nHost: 127.0.0.1:" + port + "\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: cross-site", // an image
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nOrigin: null",                                                       // a sandboxed frame
		"GET /inventory/a HTTP/1.1\r\nHost: localhost:" + port + "\r\nOrigin: http://localhost:" + port,                      // a page that came through here
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nsec-fetch-anything: x",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\nOrigin: http://localhost",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: no-cors",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: navigate",
		"GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Mode: cors",
		"GET /a HTTP/1.1\r\nHost: inventory\r\nSec-Fetch-Site: same-origin",
		"GET /inventory/a HTTP/1.1\r\nHost: evil.example:" + port, // DNS rebinding
		"GET /a HTTP/1.1\r\nHost: inventory.evil.example",
		"OPTIONS /v1/token HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Headers: intercom-request", // a preflight
		"GET /v1/token?audience=inventory HTTP/1.1\r\nHost: localhost\r\nIntercom-Request: 1\r\nOrigin: https://evil.example",
		"GET /v1/token?audience=inventory HTTP/1.1\r\nHost: localhost", // a link
		"GET /v1/token?audience=inventory HTTP/1.1\r\nHost: evil.example\r\nIntercom-Request: 1",
		"GET /inventory/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://evil.example",
	} {
		got := w.raw(request + "\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") || strings.Contains(strings.ToLower(got), "access-control") {
			t.Errorf("%q\ngot %s", request, got)
		}
	}
	if reached.Load() != 0 || w.broker.minted.Load() != 0 {
		t.Errorf("%d requests and %d tokens for a page", reached.Load(), w.broker.minted.Load())
	}
}

// FuzzRequestIsForOneParty holds that whatever is asked, exactly one of sidecar, service and refusal
// answers, that a service sees a path without dot segments, and that no host but ours reaches the sidecar.
func FuzzRequestIsForOneParty(f *testing.F) {
	for _, host := range []string{"127.0.0.1:4140", "localhost", "inventory", "INVENTORY:80", "[::1]:4140", "[::1", "a:b:c", "evil.example", ""} {
		for _, path := range []string{"/inventory/a", "/v1/token?audience=x", "/", "/inventory/%2e%2e/v1", "//v1", "/v1", "/inventory"} {
			f.Add(host, path)
		}
	}
	h := nobody(f)
	f.Fuzz(func(t *testing.T, host, path string) {
		u, err := url.ParseRequestURI(path) // as net/http reads it
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, Host: host, URL: u, Header: http.Header{}, ProtoMajor: 1, ProtoMinor: 1}
		r = r.WithContext(t.Context())
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		body := rec.Body.String()
		if rec.Code < 400 || !strings.HasPrefix(body, "{") {
			t.Fatalf("host %q path %q: %d %s", host, path, rec.Code, body)
		}
		ours := strings.Contains(body, "NO_SUCH_PATH") || strings.Contains(body, "HEADER_MISSING")
		if ours && !isOurs(host) {
			t.Fatalf("the sidecar itself answers to host %q", host)
		}
	})
}

func isOurs(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(host, ":4140"), ":80"))
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// TestServerIsBounded: an application that goes wrong takes neither the memory nor the connections of its
// sidecar, over HTTP/1.1 and over HTTP/2.
func TestServerIsBounded(t *testing.T) {
	w := newWorld(t, setup{}, tokenService("inventory", plain(t, http.NotFoundHandler()), bearer))
	if got := w.raw("GET /inventory/a HTTP/1.1\r\nHost: localhost\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("a head of 64 KiB: %.60q", got)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h2 := &http.Transport{Protocols: protocols}
	t.Cleanup(h2.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.door+"/inventory/a", nil)
	must(t, err)
	req.Header.Set("A", strings.Repeat("a", 64<<10))
	resp, err := h2.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a head of 64 KiB over HTTP/2: %s", resp.Status)
		}
	}
	srv := localapi.NewServer(http.NotFoundHandler())
	if srv.ReadHeaderTimeout <= 0 || srv.ReadHeaderTimeout > time.Minute || srv.IdleTimeout <= 0 {
		t.Errorf("a head may take %v, and an idle connection stays %v", srv.ReadHeaderTimeout, srv.IdleTimeout)
	}
}
