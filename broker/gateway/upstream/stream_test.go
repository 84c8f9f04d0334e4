package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// TestEventsAreLive sends the next event only after the one before has arrived.
func TestEventsAreLive(t *testing.T) {
	next := make(chan string, 1)
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Content-Length", "33") // as if its length were known: the type alone says that it is live
		for range 3 {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", <-next)
			w.(http.Flusher).Flush()
		}
	})))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		next <- "one"
		lines := bufio.NewReader(doortest.Open(t, g.client(t, proto), "GET", "http://door.test/crm/events", nil).Body)
		for i, event := range []string{"one", "two", "six"} {
			if line, err := lines.ReadString('\n'); err != nil || line != "data: "+event+"\n" {
				t.Fatalf("got %q, %v", line, err)
			}
			_, _ = lines.Discard(1)
			if i < 2 {
				next <- []string{"two", "six"}[i]
			}
		}
	})
}

// TestBothWaysAtOnce converses within one request: each line waits for the echo of the one before.
func TestBothWaysAtOnce(t *testing.T) {
	g := newGate(t, crm(plain(t, doortest.EchoLines)))
	doortest.Protocols(t, func(t *testing.T, proto string) { doortest.Converse(t, g.client(t, proto), "http://door.test/crm/") })
}

// testBrowserGoes in the middle of an answer: the service is let go, and not blamed.
func testBrowserGoes(t *testing.T) {
	gone := make(chan struct{}, 1)
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		res := doortest.Open(t, g.client(t, proto), "GET", "http://door.test/crm/", nil)
		_, _ = io.ReadFull(res.Body, make([]byte, 5))
		_ = res.Body.Close()
		select {
		case <-gone:
		case <-time.After(30 * time.Second):
			t.Fatal("the service was not let go")
		}
		if o := g.outcome(t); o.Err == nil || o.Err.Reason != outbound.ReasonGone || o.Status != 200 || o.Bytes != 5 {
			t.Errorf("ended as %+v", o)
		}
	})
}

// TestBrokenStreamIsBroken: what ends early at the service must not look whole to the browser.
func TestBrokenStreamIsBroken(t *testing.T) {
	half := strings.Repeat("half", 4096)
	g := newGate(t, crm(plain(t, doortest.Breaking("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"+half)))+
		named("chunked", plain(t, doortest.Breaking("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n"+half+"\r\n"))))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for _, name := range []string{"crm", "chunked"} {
			res := doortest.Open(t, g.client(t, proto), "GET", "http://door.test/"+name+"/", nil)
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: read %d bytes and no error", name, len(body))
			}
			if o := g.outcome(t); o.Err == nil || o.Err.Reason != outbound.ReasonBroken {
				t.Errorf("%s: ended as %+v", name, o)
			}
		}
	})
}

// testSilence is bounded in the middle of an answer, and a browser that reads slowly is no silence.
func testSilence(t *testing.T) {
	silent := func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	g := newGate(t, crm(plain(t, silent)), func(cfg *upstream.Config) { cfg.IdleTimeout = 300 * time.Millisecond })
	doortest.Protocols(t, func(t *testing.T, proto string) {
		res := doortest.Open(t, g.client(t, proto), "GET", "http://door.test/crm/", nil)
		if body, err := io.ReadAll(res.Body); err == nil || string(body) != "first" {
			t.Errorf("%q, %v", body, err)
		}
		if o := g.outcome(t); o.Err == nil || o.Err.Reason != outbound.ReasonTimeout {
			t.Errorf("ended as %+v", o)
		}
	})

	const size = 32 << 20 // more than sockets and buffers hold
	g = newGate(t, crm(plain(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, zeros{}, size)
	})), func(cfg *upstream.Config) { cfg.IdleTimeout = 2 * time.Second })
	doortest.Protocols(t, func(t *testing.T, proto string) {
		t.Parallel()
		res := doortest.Open(t, g.client(t, proto), "GET", "http://door.test/crm/", nil)
		<-time.After(2500 * time.Millisecond)
		if n, err := io.Copy(io.Discard, res.Body); n != size || err != nil {
			t.Errorf("a browser that reads slowly got %d bytes, %v", n, err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// testBodyLimit: up to the limit a body passes, of known length or not, and one byte more is 413.
func testBodyLimit(t *testing.T) {
	const limit = 64 << 10
	var whole atomic.Int64
	at := newCounting(t, func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
			_, _ = fmt.Fprint(w, n)
		}
	})
	g := newGate(t, crm(at.url, "body_limit: 64KiB"))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for _, known := range []bool{true, false} {
			for _, over := range []int64{0, 1, limit} {
				whole.Store(0)
				calls := at.calls.Load()
				body := strings.NewReader(strings.Repeat("x", int(limit+over)))
				a := doortest.Do(t, g.client(t, proto), "POST", "http://door.test/crm/", func(r *http.Request) {
					if r.Body, r.ContentLength = io.NopCloser(body), -1; known {
						r.ContentLength = limit + over
					}
				})
				o := g.outcome(t)
				switch {
				case over == 0:
					if a.StatusCode != 200 || a.Text != fmt.Sprint(limit) || o.Err != nil || o.Bytes != limit+5 {
						t.Errorf("known %v: %s, %+v", known, a.Status, o)
					}
				case a.StatusCode != http.StatusRequestEntityTooLarge || a.Problem(t).Code != upstream.ReasonTooLarge || whole.Load() != 0:
					t.Errorf("known %v, %d over: %s, arrived whole %d times", known, over, a.Status, whole.Load())
				case known && at.calls.Load() != calls:
					t.Errorf("the service was asked although the length was known")
				case o.Err == nil || o.Err.Kind != fault.TooLarge:
					t.Errorf("ended as %+v", o)
				}
			}
		}
	})
}

// TestWhatIsLeftOfABodyIsNoRequest: a service that answers before it has read the body leaves bytes on the
// connection, and among them may be what looks like a request.
func TestWhatIsLeftOfABodyIsNoRequest(t *testing.T) {
	var smuggled atomic.Int64
	early := doortest.Breaking("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Add(1)
		}
		early(w, r)
	}), "body_limit: 100B"))
	const head, request = "POST /crm/early HTTP/1.1\r\nHost: door.test\r\n", "GET /crm/smuggled HTTP/1.1\r\nHost: door.test\r\n\r\n"
	for name, pieces := range map[string][2]string{
		"a length that is never reached": {head + "Content-Length: 90\r\n\r\nx", request},
		"a length over the limit":        {head + "Content-Length: 1000\r\n\r\nx", request},
		"a chunk that never ends":        {head + "Transfer-Encoding: chunked\r\n\r\n1000\r\nx", request},
		"chunks over the limit":          {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 101), request},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", g.addr["http/1.1"])
			if err != nil {
				t.Fatal(err)
			}
			doortest.SendRest(t, c, pieces[0], pieces[1])
		})
	}
	t.Cleanup(func() {
		if smuggled.Load() != 0 {
			t.Error("the rest of a body was taken for a request")
		}
	})
}

// chat echoes what it is told over a WebSocket, until the browser or the gateway is gone.
func chat(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the origin is the gateway's to look at
		if err != nil {
			return
		}
		for {
			kind, data, err := c.Read(context.Background())
			if err != nil {
				ended <- err
				return
			}
			if err := c.Write(context.Background(), kind, data); err != nil {
				return
			}
		}
	}
}

func (g *gate) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), "http://door.test/crm/chat", &websocket.DialOptions{
		HTTPClient: g.client(t, "http/1.1"), HTTPHeader: http.Header{"Origin": {"http://door.test"}, "Cookie": {"__Host-Http-ic=x; theme=dark"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Set-Cookie") != "" {
		t.Errorf("the handshake set %q", res.Header["Set-Cookie"])
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, data, err := c.Read(t.Context()); err != nil || string(data) != text {
		t.Fatalf("got %d bytes, %v", len(data), err)
	}
}

// TestWebSocket also over a service that would speak HTTP/2.
func TestWebSocket(t *testing.T) {
	ended := make(chan error, 1)
	url, trust := secure(t, chat(ended))
	for name, g := range map[string]*gate{"http": newGate(t, crm(plain(t, chat(ended)))), "https": newGate(t, crm(url), trust)} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			for range 3 {
				say(t, c, strings.Repeat("\n\n hello", 1000))
			}
			if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Error(err)
			}
			if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				t.Errorf("the service saw %v", err)
			}
			if o := g.outcome(t); o.Err != nil || o.Status != http.StatusSwitchingProtocols || o.Bytes < 6*8000 {
				t.Errorf("ended as %+v", o)
			}
		})
	}
}

// TestSessionEndsStreams: a WebSocket and an event stream end within a second of the context that Opened
// returned, on both sides; an answer that does not last is not asked about.
func TestSessionEndsStreams(t *testing.T) {
	ended := make(chan error, 2)
	talk := chat(ended)
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chat":
			talk(w, r)
		case "/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprint(w, "data: 1\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			ended <- r.Context().Err()
		}
	})))
	for name, c := range map[string]struct {
		why  error
		code websocket.StatusCode
	}{
		upstream.ReasonEnded: {context.Canceled, 4401}, "session_revoked": {fault.New(fault.Unauthenticated, "session_revoked", "x"), 4401},
		"policy_denied": {fault.New(fault.Denied, "policy_denied", "x"), 4403}, "gateway_draining": {fault.New(fault.Unavailable, "gateway_draining", "x"), 1012},
	} {
		session, end := context.WithCancelCause(t.Context())
		var opened atomic.Int64
		g.change = func(_ *http.Request, c *upstream.Call) {
			c.Opened = func(*http.Response) context.Context {
				opened.Add(1)
				return session
			}
		}
		doortest.Do(t, g.client(t, "h2"), "GET", "http://door.test/crm/short")
		g.outcome(t)
		socket := g.dial(t)
		say(t, socket, "hello")
		events := doortest.Open(t, g.client(t, "h2"), "GET", "http://door.test/crm/events", nil)
		_, _ = io.ReadFull(events.Body, make([]byte, 9))
		if n := opened.Load(); n != 2 {
			t.Errorf("asked about %d answers", n)
		}
		began := time.Now()
		end(c.why)
		var told websocket.CloseError
		if _, _, err := socket.Read(t.Context()); !errors.As(err, &told) || told.Code != c.code || told.Reason != name {
			t.Errorf("%s: the WebSocket ends with %v", name, err)
		}
		if _, err := io.ReadAll(events.Body); err == nil {
			t.Error("the event stream ended as if it were whole")
		}
		for range 2 {
			<-ended
			if o := g.outcome(t); o.Err == nil || o.Err.Reason != name {
				t.Errorf("%s: ended as %+v", name, o)
			}
		}
		if took := time.Since(began); took > 5*time.Second { // a second, on a machine of its own
			t.Errorf("it took %s", took)
		}
	}
}

// TestSessionEndsConversations: also where the browser is in the middle of a body, and silent, and the service is
// one that speaks HTTP/2.
func TestSessionEndsConversations(t *testing.T) {
	ended := make(chan struct{}, 1)
	url, trust := secure(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		ended <- struct{}{}
	})
	g := newGate(t, crm(url), trust)
	doortest.Protocols(t, func(t *testing.T, proto string) {
		session, end := context.WithCancel(t.Context())
		g.change = func(_ *http.Request, c *upstream.Call) {
			c.Opened = func(*http.Response) context.Context { return session }
		}
		in, out := io.Pipe()
		t.Cleanup(func() { _ = out.Close() })
		res := doortest.Open(t, g.client(t, proto), "POST", "http://door.test/crm/", in)
		end()
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Error("it ended as if it were whole")
		}
		<-ended
		if o := g.outcome(t); o.Err == nil || o.Err.Reason != upstream.ReasonEnded {
			t.Errorf("ended as %+v", o)
		}
	})
}

// TestAgain sends a request without a body once more, with what it is given, and never twice.
func TestAgain(t *testing.T) {
	var calls atomic.Int64
	g := newGate(t, crm(plain(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if r.Header.Get("Authorization") != "Bearer fresh" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = fmt.Fprint(w, r.Header["User-Agent"])
	})))
	tokens := map[string]string{"/fresh": "Bearer fresh", "/stale": "Bearer stale"}
	g.change = func(_ *http.Request, c *upstream.Call) {
		path := c.Path
		c.Again = func(res *http.Response) http.Header {
			if res.StatusCode != http.StatusUnauthorized || tokens[path] == "" {
				return nil
			}
			return http.Header{"Authorization": {tokens[path]}}
		}
	}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for path, want := range map[string]struct {
			status int
			calls  int64
		}{"/fresh": {200, 2}, "/stale": {401, 2}, "/none": {401, 1}} {
			calls.Store(0)
			a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm"+path)
			if a.StatusCode != want.status || calls.Load() != want.calls || want.calls == 2 && a.Text != "[]" {
				t.Errorf("%s: %s after %d calls, %s", path, a.Status, calls.Load(), a.Text)
			}
		}
		calls.Store(0)
		if a := doortest.Do(t, g.client(t, proto), "POST", "http://door.test/crm/fresh", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader("gone by"))
		}); a.StatusCode != http.StatusUnauthorized || calls.Load() != 1 {
			t.Errorf("with a body: %s after %d calls", a.Status, calls.Load())
		}
	})
}

// TestModifyAndRefuse: the caller's hooks have the last word.
func TestModifyAndRefuse(t *testing.T) {
	g := newGate(t, crm(plain(t, doortest.Echo)))
	g.change = func(_ *http.Request, c *upstream.Call) {
		c.Modify = func(res *http.Response) error {
			if c.Path == "/refused" {
				return fault.New(fault.Denied, "NOT_THIS", "no")
			}
			res.Header.Set("Access-Control-Allow-Origin", "https://app.test")
			return nil
		}
		c.Refuse = func(w http.ResponseWriter, _ *http.Request, e *fault.Error) {
			w.Header().Set("X-Refused", e.Reason)
			outbound.WriteProblem(w, e)
		}
	}
	doortest.Protocols(t, func(t *testing.T, proto string) {
		if a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm/"); a.Header.Get("Access-Control-Allow-Origin") != "https://app.test" {
			t.Errorf("got %v", a.Header)
		}
		a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm/refused")
		if a.StatusCode != http.StatusForbidden || a.Header.Get("X-Refused") != "NOT_THIS" || a.Problem(t).Code != "NOT_THIS" {
			t.Errorf("%s %v", a.Status, a.Header)
		}
	})
}
