package proxies_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// inTheClear is a gateway before which TLS ends, and nginx' sample as its comment says for it.
func (w *world) inTheClear(t *testing.T) *stack.ProxyServer {
	t.Helper()
	cfg := w.Gateways[0].Config
	own := w.Config(t, cfg.Provider)
	own.TrustedProxies, own.Listen.Address = cfg.TrustedProxies, "127.0.0.1:0"
	own.Listen.Cert, own.Listen.Key, own.Unsafe = "", "", gateway.Unsafe{Plaintext: true}
	g := w.Add(t, own)
	w.Front.Lead(w.Gateways[0].Front) // the provider calls over TLS
	return stack.StartNginx(t, 2, func(ports []int) string {
		text := w.sample(t, "nginx-plain.conf", [2]string{g.Front, g.Front}, ports)
		return strings.ReplaceAll(text, "proxy_pass https://", "proxy_pass http://")
	})
}

// TestThrough: all that browsers do passes through each proxy, and the gateway knows who they are.
func TestThrough(t *testing.T) {
	w := newWorld(t, 2, nil)
	proxies := map[string]*stack.ProxyServer{"nginx": w.nginx(t, "nginx-plain.conf"), "nginx in the clear": w.inTheClear(t), "envoy": w.envoy(t), "caddy": w.caddy(t)}
	for name, proxy := range proxies {
		t.Run(name, func(t *testing.T) {
			alice := w.person(t, proxy.Addr)
			if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || res.Code() != "login_required" {
				t.Errorf("before the login: %s %s", res.Status, res.Text)
			}
			long := "/orders/1?q=" + strings.Repeat("a", 4000)
			if res := alice.Navigate(long); res.StatusCode != http.StatusFound || len(res.Header.Get("Location")) < len(long) {
				t.Errorf("a long address, before the login: %s", res.Status)
			}
			alice.login("alice")
			t.Run("calls", alice.in(testCalls))
			t.Run("client", alice.in(testClient))
			t.Run("asking for others", alice.in(testAskingForOthers))
			t.Run("steering", alice.in(testSteering))
			t.Run("stream", alice.in(testStream))
			t.Run("socket", alice.in(testSocket))
			t.Run("upload", alice.in(testUpload))
			t.Run("no name in TLS", alice.in(testNameless))
			t.Run("hostile paths", alice.in(testHostilePaths))
			alice.logout()
			if res := alice.Fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || alice.State().Authenticated {
				t.Errorf("after the logout: %s", res.Status)
			}
		})
	}
	w.checkLogs(t, proxies["envoy"])
	w.checkCaddysLog(t, proxies["caddy"])
}

// checkCaddysLog is checkLogs for a log in JSON. Caddy 2.6 logs what is for the names of its file, to the port, which is
// not the origin's in these tests.
func (w *world) checkCaddysLog(t *testing.T, caddy *stack.ProxyServer) {
	t.Helper()
	_, port, _ := strings.Cut(caddy.Addr, ":")
	ask := fmt.Sprintf("GET /bff/callback?code=x&state=y HTTP/1.1\r\nHost: %s:%s\r\nReferer: https://%[1]s/?code=x&state=y\r\nConnection: close\r\n\r\n", host, port)
	if status, body := w.raw(t, caddy.Addr, ask); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
	gatewaytest.Eventually(t, "the access log is written", func() bool {
		return strings.Contains(caddy.LogTail(1000), `"uri":"/bff/callback"`)
	})
	if log := caddy.LogTail(1000); !strings.Contains(log, `"remote_ip":"`+client+`"`) || strings.Contains(log, "code=") || strings.Contains(log, "state=") {
		t.Errorf("not the client's address, or a code, is in the log:\n%s", log)
	}
}

// checkLogs: the access logs name paths, and nothing of a query, which has the authorization code once.
func (w *world) checkLogs(t *testing.T, envoy *stack.ProxyServer) {
	t.Helper()
	var log string
	gatewaytest.Eventually(t, "the access logs are written", func() bool {
		text, err := os.ReadFile(w.Path("nginx.log"))
		must(t, err)
		const last = "POST /bff/logout 200 "
		log = string(text) + envoy.LogTail(1000)
		return strings.Contains(string(text), last) && strings.Contains(envoy.LogTail(1000), last)
	})
	for _, wanted := range []string{"GET /bff/callback 303", client + " "} {
		if strings.Count(log, wanted) < 3 {
			t.Errorf("%q is not in the logs:\n%s", wanted, log)
		}
	}
	if strings.Contains(log, "code=") || strings.Contains(log, "state=") {
		t.Errorf("a code is in the logs:\n%s", log)
	}
}

// in makes a test of what a person does.
func (p *person) in(f func(*testing.T, *person)) func(*testing.T) {
	return func(t *testing.T) {
		inner := *p
		inner.Person, inner.t = p.For(t), t
		f(t, &inner)
	}
}

func testCalls(t *testing.T, alice *person) {
	res := alice.Fetch(http.MethodGet, "/orders/1?a=b%2Fc")
	if got := gatewaytest.Said[arrived](t, res); got.URI != "/orders/1?a=b%2Fc" || !strings.HasPrefix(got.Header.Get("Authorization"), "Bearer ") || got.Header["Cookie"] != nil {
		t.Errorf("the service gets %+v", got)
	}
	if res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s %v", res.Proto, res.Header)
	}
	if res := alice.Fetch(http.MethodPost, "/orders/1"); res.StatusCode != http.StatusForbidden || res.Code() != "csrf_failed" {
		t.Errorf("without the token: %s %s", res.Status, res.Text)
	}
	if got := gatewaytest.Said[arrived](t, alice.Fetch(http.MethodPost, "/orders/1", alice.CSRF())); got.Method != http.MethodPost {
		t.Errorf("with it: %+v", got)
	}
	if res := alice.Fetch(http.MethodGet, "/orders/secret/1"); res.StatusCode != http.StatusForbidden || res.Code() != "policy_denied" {
		t.Errorf("denied: %s %s", res.Status, res.Text)
	}
}

// testClient: the service learns who the client is from the proxy that connects, and nothing from the client.
func testClient(t *testing.T, alice *person) {
	got := gatewaytest.Said[arrived](t, alice.Fetch(http.MethodGet, "/orders/1", "X-Forwarded-For: 192.0.2.7, 127.0.0.1", "X-Real-Ip: 192.0.2.7", "Forwarded: for=192.0.2.7;host=evil.test;proto=http",
		"X-Forwarded-Host: evil.test", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80", "X-Forwarded-Prefix: /evil", "X-Original-Url: /orders/secret", "X-Rewrite-Url: /orders/secret",
		"X-Envoy-Original-Path: /orders/secret", "X-Envoy-External-Address: 192.0.2.7")).Header
	want := map[string]string{"X-Forwarded-For": client, "X-Forwarded-Host": strings.TrimPrefix(alice.w.Origin(), "https://"), "X-Forwarded-Proto": "https"}
	for name, value := range want {
		if len(got[name]) != 1 || got.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got[name], value)
		}
	}
	got.Del("X-Request-Id") // by which logs are read together
	for name := range got {
		if (strings.HasPrefix(name, "X-") || name == "Forwarded") && want[name] == "" {
			t.Errorf("the service gets %s: %q", name, got[name])
		}
	}
	if begun := alice.Do(http.MethodGet, "/bff/login", nil, gatewaytest.Navigation("X-Forwarded-Host: evil.test", "Forwarded: host=evil.test", "X-Forwarded-Proto: http")...); strings.Contains(begun.Header.Get("Location"), "evil") {
		t.Errorf("the login leads to %s", begun.Header.Get("Location"))
	}
}

// testNameless: who names no host in TLS is served by what his request names, and by no other name.
func testNameless(t *testing.T, alice *person) {
	for host, wanted := range map[string]bool{strings.TrimPrefix(alice.w.Origin(), "https://"): true, "evil.test": false} {
		transport := alice.Plainly()
		transport.TLSClientConfig.ServerName, transport.TLSClientConfig.InsecureSkipVerify = "127.0.0.1", true // an address is not sent
		r := alice.Request(t.Context(), http.MethodGet, "/bff/session", nil, "Sec-Fetch-Site: same-origin")
		r.Host = host
		res, err := transport.RoundTrip(r)
		must(t, err)
		_ = res.Body.Close()
		if status := res.StatusCode; wanted != (status == http.StatusOK) || !wanted && status != http.StatusMisdirectedRequest && status != http.StatusNotFound {
			t.Errorf("%s: %s", host, res.Status)
		}
	}
}

// testAskingForOthers: only a proxy may ask what /bff/authz answers, and one that is trusted does not do it for whoever
// is out there.
func testAskingForOthers(t *testing.T, alice *person) {
	for _, path := range []string{"/bff/authz", "/bff/%61uthz"} {
		res := alice.Fetch(http.MethodGet, path, "X-Forwarded-Method: GET", "X-Forwarded-Uri: /orders/1")
		if res.StatusCode != http.StatusForbidden || res.Code() != "request_refused" {
			t.Errorf("%s: %s %s", path, res.Status, res.Text)
		}
	}
}

// testSteering: what a service answers is for the browser, and tells the proxy nothing.
func testSteering(t *testing.T, alice *person) {
	if got := gatewaytest.Said[arrived](t, alice.Fetch(http.MethodGet, "/orders/steer")); got.URI != "/orders/steer" {
		t.Errorf("%+v", got)
	}
	if !alice.State().Authenticated {
		t.Error("a service has replaced the session's cookie")
	}
}

// testStream: the first event is there before the second one is.
func testStream(t *testing.T, alice *person) {
	for _, path := range []string{"/orders/stream", "/bff/events"} {
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		res, err := alice.HTTP.Do(alice.Request(ctx, http.MethodGet, path, nil, providertest.Fetch(alice.Home)...))
		must(t, err)
		defer res.Body.Close()
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		if err != nil || line != "data: begun\n" && line != ":\n" {
			t.Errorf("%s: %s %q %v", path, res.Status, line, err)
		}
		stop()
	}
}

func testSocket(t *testing.T, alice *person) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, res, err := alice.Socket("/orders/socket", "https://evil.test"); err == nil || res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another origin: %v", err)
	}
	c, _, err := alice.Socket("/orders/socket", alice.Home)
	must(t, err)
	defer func() { _ = c.CloseNow() }()
	must(t, c.Write(ctx, websocket.MessageText, []byte("hello")))
	if _, text, err := c.Read(ctx); err != nil || string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
}

// testUpload: the service has the beginning of a large body before the browser has sent its end.
func testUpload(t *testing.T, alice *person) {
	const size = 20 << 20
	body, end := io.Pipe()
	go func() {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		_, _ = end.Write(chunk)
		select {
		case <-alice.w.orders.began:
		case <-time.After(30 * time.Second):
			_ = end.CloseWithError(fmt.Errorf("the service has nothing of the first MiB"))
		}
		for range size>>20 - 1 {
			_, _ = end.Write(chunk)
		}
		_ = end.Close()
	}()
	headers := append(providertest.Fetch(alice.Home), alice.CSRF())
	if got := gatewaytest.Said[arrived](t, alice.Do(http.MethodPut, "/orders/upload", body, headers...)); got.Size != size-1 { // the first byte was read before
		t.Errorf("%d bytes arrived", got.Size+1)
	}
}
