package bff_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/session"
)

// TestConformance has the statements that are held between the cookie and the token, by their ids.
func TestConformance(t *testing.T) {
	t.Run("CORS-1", testOrigins)
	t.Run("CORS-2", testPreflight)
	t.Run("CORS-3", testUpstreamCORS)
	t.Run("CSRF-1", testSibling)
	t.Run("CSRF-2", testTokenOnEveryUnsafe)
	t.Run("CSRF-3", testTokenOfSession)
	t.Run("FRM-1", testSilent)
	t.Run("PM-1", testSilent)
	t.Run("PRX-4", testSpoofedHeaders)
	t.Run("PRX-8", testAgain)
	t.Run("PRX-11", testForwarded)
	t.Run("PRX-13", testTokens)
	t.Run("SESS-6", testPassive)
	t.Run("SESS-8", testLogoutInFlight)
	t.Run("TOK-9", testTokensStayApart)
	t.Run("TOK-12", testNothingIsLogged)
	t.Run("WS-1", testWebSocket)
}

func testOrigins(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	for origin, ok := range map[string]bool{
		"https://app.test":           true,
		"https://app.test.evil.test": false, "https://evilapp.test": false, "https://APP.test": false, "https://app.test.": false,
		"https://app.test:443": false, "https://app.test:8443": false, "http://app.test": false, "null": false, "*": false,
		"https://app.test/": false, "https://xn--app-.test": false, "https://portal.test": false,
	} {
		res := b.fetch(http.MethodGet, "/orders/1", "Origin: "+origin, "Sec-Fetch-Site: same-site")
		got := res.Header["Access-Control-Allow-Origin"]
		if ok && (res.StatusCode != http.StatusOK || !slices.Equal(got, []string{origin})) || !ok && (res.StatusCode != http.StatusForbidden || got != nil) {
			t.Errorf("%s: %d %q", origin, res.StatusCode, got)
		}
		if !slices.Contains(res.Header["Vary"], "Origin") {
			t.Errorf("%s: Vary %q", origin, res.Header["Vary"])
		}
	}
}

// testPreflight asks with no session, with a dead upstream's route and with a route that policy refuses.
func testPreflight(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/orders/1", "/nobody/1", "/admin/1", "/bff/session/touch"} {
		method := "Access-Control-Request-Method: PUT"
		if strings.HasPrefix(path, "/bff/") {
			method = "Access-Control-Request-Method: POST"
		}
		res := w.tab(t).fetch(http.MethodOptions, path, "Origin: https://app.test", method, "Access-Control-Request-Headers: x-csrf-token")
		if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != "https://app.test" ||
			!strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), method[len(method)-3:]) || res.Header.Get("Access-Control-Allow-Headers") != "x-csrf-token" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	if res := w.tab(t).fetch(http.MethodOptions, "/orders/1", "Origin: https://evil.test", "Access-Control-Request-Method: PUT"); res.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("another origin: %v", res.Header)
	}
	if len(w.arrived) != 0 || len(w.mints) != 0 {
		t.Errorf("%d requests, %d tokens", len(w.arrived), len(w.mints))
	}
}

// testUpstreamCORS: the service says `*`, on an answer and on a refusal.
func testUpstreamCORS(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Header().Set("Access-Control-Allow-Methods", "*")
		rw.WriteHeader(http.StatusTeapot)
	})
	for origin, want := range map[string][]string{"https://app.test": {"https://app.test"}, "https://icom.test": nil} {
		res := b.fetch(http.MethodGet, "/orders/1", "Origin: "+origin)
		if got := res.Header["Access-Control-Allow-Origin"]; res.StatusCode != http.StatusTeapot || !slices.Equal(got, want) || res.Header["Access-Control-Allow-Methods"] != nil {
			t.Errorf("%s: %d %v", origin, res.StatusCode, res.Header)
		}
	}
}

// testSibling: a page on the same site has the browser send the cookie, and gets nothing by it.
func testSibling(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	form := []string{"Origin: https://evil.test", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	for name, res := range map[string]answer{
		"a form":          read(t, b.Do(http.MethodPost, "/orders/1", "a=b", form...)),
		"a form, told":    read(t, b.Do(http.MethodPost, "/orders/1", "csrf_token="+b.state().CSRF, form...)),
		"a script":        b.fetch(http.MethodGet, "/orders/1", "Origin: https://evil.test", "Sec-Fetch-Site: same-site"),
		"an image":        read(t, b.Do(http.MethodGet, "/orders/1", "", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")),
		"a frame":         read(t, b.Do(http.MethodGet, "/orders/1", "", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")),
		"an old browser":  read(t, b.Do(http.MethodGet, "/orders/1", "")),
		"a hidden origin": b.fetch(http.MethodDelete, "/orders/1", "Origin: null", bff.HeaderCSRF+": "+b.state().CSRF),
	} {
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.text)
		}
	}
	if len(w.arrived) != 0 {
		t.Errorf("%d requests arrived", len(w.arrived))
	}
}

func testTokenOnEveryUnsafe(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if res := b.fetch(method, "/orders/1"); res.StatusCode != http.StatusForbidden || res.code() != bff.ReasonCSRF {
			t.Errorf("%s: %d %s", method, res.StatusCode, res.text)
		}
		if res := b.fetch(method, "/orders/1", bff.HeaderCSRF+": "+b.state().CSRF); res.StatusCode != http.StatusOK {
			t.Errorf("%s with it: %d %s", method, res.StatusCode, res.text)
		}
	}
}

// testTokenOfSession: another session's token is none, whatever cookie a sibling has put beside.
func testTokenOfSession(t *testing.T) {
	w := newWorld(t)
	a, b := w.alice(t), w.alice(t)
	for _, name := range []string{"_csrf_token", "__Host-csrf", "csrf_token"} {
		a.Cookies[name] = &http.Cookie{Name: name, Value: b.state().CSRF}
	}
	for _, token := range []string{b.state().CSRF, "", strings.ToUpper(a.state().CSRF), a.state().CSRF + "="} {
		if res := a.fetch(http.MethodPost, "/orders/1", bff.HeaderCSRF+": "+token); res.code() != bff.ReasonCSRF {
			t.Errorf("%q: %d %s", token, res.StatusCode, res.text)
		}
	}
}

// testSpoofedHeaders: what a browser says of itself is not what a service hears, however it is written.
func testSpoofedHeaders(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	b.Cookies["lang"], b.Cookies["other"] = &http.Cookie{Name: "lang", Value: "de"}, &http.Cookie{Name: "other", Value: "1"}
	b.fetch(http.MethodGet, "/orders/1", "Authorization: Bearer forged", "X-Forwarded-For: 10.9.9.9", "X-Forwarded-Host: forged", "X-Forwarded-User: forged", "Forwarded: for=forged",
		"X_Forwarded_User: forged", "X-Auth-Request-User: forged", "X-Auth-Request-Email: forged", "X-User: forged", "X-User-Id: forged", "X-Real-Ip: forged",
		"X-Forwarded-Client-Cert: forged", "X-Client-Cert: forged", "Ssl-Client-Cert: forged", "Intercom-Principal: forged", "Connection: Authorization, X-Forwarded-For")
	got := w.last(t, 1)
	for name, values := range got.Header {
		if strings.Contains(strings.Join(values, " "), "forged") {
			t.Errorf("%s: %q arrived", name, values)
		}
	}
	if got.Header.Get("Cookie") != "lang=de" || !strings.HasPrefix(got.Header.Get("Authorization"), "Bearer minted") {
		t.Errorf("%v", got.Header)
	}
}

// testForwarded: a service learns who asked from us alone.
func testForwarded(t *testing.T) {
	w := newWorld(t)
	w.alice(t).fetch(http.MethodGet, "/orders/1", "X-Forwarded-For: 10.9.9.9")
	h := w.last(t, 1).Header
	if h.Get("X-Forwarded-For") != "192.0.2.1" || h.Get("X-Forwarded-Host") != "icom.test" || h.Get("X-Forwarded-Proto") != "https" {
		t.Errorf("%v", h)
	}
}

// testTokens: each service gets what its file says, and nothing gets what the login brought.
func testTokens(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	own := string(b.session().Tokens.Access.Reveal())
	for path, want := range map[string]string{"/orders/1": "Bearer minted for orders", "/traded/1": "Bearer ey", "/held/1": ""} {
		before := len(w.arrived)
		res := b.fetch(http.MethodGet, path)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, res.StatusCode, res.text)
		}
		got := w.last(t, before+1).Header.Get("Authorization")
		if !strings.HasPrefix(got, want) || want == "" && got != "" || strings.Contains(got, own) {
			t.Errorf("%s: %q", path, got)
		}
		if through := res.Header.Get("Through"); (path == "/held/1") != (through == "http://held") {
			t.Errorf("%s went through %q", path, through)
		}
	}
	if slices.Contains(w.mints, own) {
		t.Error("the broker saw the token of the login")
	}
}

// testAgain: a token that the service does not take any more is traded anew, once.
func testAgain(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer minted for orders 1 ") {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	})
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusOK {
		t.Errorf("%d", res.StatusCode)
	}
	w.last(t, 2)
	w.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) })
	minted := len(w.mints)
	for range 3 { // the service means it, and no provider is troubled for that
		if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized || res.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	}
	w.last(t, 5)
	if len(w.mints) != minted {
		t.Errorf("%d tokens were minted for a service that takes none", len(w.mints)-minted)
	}
}

// testPassive: looking and polling is no activity.
func testPassive(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	s := b.session()
	b.state()
	b.navigate("/bff/silent?origin=https%3A%2F%2Fportal.test")
	if res := b.fetch(http.MethodGet, "/orders/poll"); res.StatusCode != http.StatusOK {
		t.Fatal(res.text)
	}
	if got := w.Sessions.IdleEnd(s); !got.Equal(s.Created.Add(s.Idle)) {
		t.Errorf("ends at %v, began at %v", got, s.Created)
	}
	b.fetch(http.MethodGet, "/orders/1")
	if got := w.Sessions.IdleEnd(s); !got.After(s.Created.Add(s.Idle)) {
		t.Error("a call is none either")
	}
}

// testLogoutInFlight: a request that is under way when its session ends brings it not back.
func testLogoutInFlight(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.answers(func(http.ResponseWriter, *http.Request) { close(arrived); <-release })
	s := b.session()
	done := make(chan int)
	go func() { done <- b.fetch(http.MethodGet, "/orders/1").StatusCode }()
	<-arrived
	must(t, w.Sessions.End(t.Context(), s, session.ReasonLogout))
	close(release)
	<-done
	if left, err := w.Sessions.List(t.Context(), session.Query{}); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	if res := b.fetch(http.MethodGet, "/orders/1"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", res.StatusCode)
	}
}

// testTokensStayApart: whoever asks at the same time, nobody's request carries another's token.
func testTokensStayApart(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	tabs := []*tab{w.alice(t), w.alice(t), w.alice(t), w.alice(t)}
	w.answers(func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Got", r.Header.Get("Authorization")) })
	got := make([]string, len(tabs))
	for round := range 20 {
		for i, b := range tabs {
			all.Go(func() {
				if res := b.fetch(http.MethodGet, "/orders/1"); round == 0 {
					got[i] = res.Header.Get("Got")
				} else if now := res.Header.Get("Got"); now != got[i] {
					t.Errorf("tab %d: %q, before %q", i, now, got[i])
				}
			})
		}
		all.Wait()
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != len(tabs) || len(w.mints) != len(tabs) {
		t.Errorf("%d tokens for %d sessions: %q", len(w.mints), len(tabs), got)
	}
}

// testNothingIsLogged looks for every secret of the calls in the audit log and in all answers.
func testNothingIsLogged(t *testing.T) {
	w := newWorld(t)
	b := w.alice(t)
	s := b.session()
	answers := b.fetch(http.MethodGet, "/orders/1").text + b.fetch(http.MethodGet, "/nobody/1").text + b.fetch(http.MethodGet, "/own/1").text +
		b.fetch(http.MethodGet, "/bff/session").text + fmt.Sprint(b.fetch(http.MethodGet, "/traded/1").Header)
	segments, err := filepath.Glob(filepath.Join(w.audit, "*"))
	must(t, err)
	logged := answers
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			must(t, err)
			logged += string(text)
		}
	}
	if !strings.Contains(logged, "/orders/1") {
		t.Fatal("there is no audit log")
	}
	for name, value := range map[string]string{
		"access token": string(s.Tokens.Access.Reveal()), "refresh token": string(s.Tokens.Refresh.Reveal()), "ID token": string(s.Tokens.ID.Reveal()),
		"cookie": b.id().Cookie(), "any JWT": "eyJ", "minted": "minted for",
	} {
		if strings.Contains(logged, value) {
			t.Errorf("the %s can be read", name)
		}
	}
}

// testWebSocket: a handshake says where it comes from, and the conversation ends with the session.
func testWebSocket(t *testing.T) {
	w := newWorld(t)
	s := w.served(t)
	w.answers(func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"))
		_, _ = conn.Read(make([]byte, 1))
	})
	b := w.alice(t)
	shake := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for _, from := range []string{"Origin: https://evil.test", "Origin: null", "X: no origin"} {
		if res := b.open(t, s, "/orders/ws", append(shake, from)...); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", from, res.StatusCode)
		}
	}
	if res := w.tab(t).fetch(http.MethodGet, "/page/ws", append(shake, "Origin: https://evil.test")...); res.StatusCode != http.StatusForbidden || res.code() != bff.ReasonOrigin {
		t.Errorf("for everybody: %d %s", res.StatusCode, res.text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "http://"))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	lines := append([]string{"GET /orders/ws HTTP/1.1", "Host: icom.test", "Origin: https://app.test", "Cookie: __Host-Http-ic=" + b.id().Cookie()}, shake...)
	_, err = conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	must(t, err)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	must(t, err)
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%d", res.StatusCode)
	}
	hello := make([]byte, 5)
	if _, err := in.Read(hello); err != nil || string(hello) != "hello" {
		t.Fatalf("%q, %v", hello, err)
	}
	must(t, w.Sessions.End(t.Context(), b.session(), session.ReasonProvider))
	if _, err := in.ReadByte(); err == nil || os.IsTimeout(err) {
		t.Errorf("after the session's end: %v", err)
	}
}
