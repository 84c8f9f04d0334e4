package egress_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// TestEventsAreLive sends the second event only after the first has arrived.
func TestEventsAreLive(t *testing.T) {
	next := make(chan string, 1)
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Content-Length", "33") // as if its length were known: the type alone says that it is live
		for range 3 {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", <-next)
			w.(http.Flusher).Flush()
		}
	})
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		next <- "one"
		res := doortest.Open(t, d.client(t, proto), "GET", "https://crm/events", nil)
		lines := bufio.NewReader(res.Body)
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

// TestBodiesPass sends large ones both ways, of known and of unknown length.
func TestBodiesPass(t *testing.T) {
	const size = 8 << 20
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v %x %d\n", n, err, sum.Sum(nil)[:4], r.ContentLength)
		_, _ = io.CopyN(w, zeros{}, size)
	})
	d := newDoor(t, crm(flow))
	sum := sha256.New()
	_, _ = io.CopyN(sum, zeros{}, size)
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for _, length := range []int64{size, -1} {
			res := doortest.Open(t, d.client(t, proto), "POST", "https://crm/upload", io.LimitReader(zeros{}, size), func(r *http.Request) { r.ContentLength = length })
			lines := bufio.NewReader(res.Body)
			line, _ := lines.ReadString('\n')
			if want := fmt.Sprintf("%d <nil> %x %d\n", size, sum.Sum(nil)[:4], length); line != want {
				t.Errorf("got %q, want %q", line, want)
			}
			if n, err := io.Copy(io.Discard, lines); n != size || err != nil {
				t.Errorf("got %d bytes, %v", n, err)
			}
			outcome := d.journal.outcome(t, res.Header.Get(fault.DecisionHeader))
			if outcome.Bytes != 2*size+int64(len(line)) {
				t.Errorf("recorded %d bytes, %s", outcome.Bytes, outcome.Result)
			}
		}
	})
}

// TestBothWaysAtOnce converses within one request: each line waits for the echo of the one before.
func TestBothWaysAtOnce(t *testing.T) {
	_, flow := upstream(t, doortest.EchoLines)
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) { doortest.Converse(t, d.client(t, proto), "https://crm/") })
}

// TestBodiesAreNotHeld lets one side wait: the other must come to wait too, after what sockets and one
// buffer of the door hold.
func TestBodiesAreNotHeld(t *testing.T) {
	const most = 32 << 20
	var sent counter
	goOn := make(chan struct{}, 1)
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			<-goOn
			return
		}
		w.WriteHeader(http.StatusOK)
		_, _ = io.Copy(io.MultiWriter(w, &sent), zeros{})
	})
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		sent.Store(0)
		doortest.Open(t, d.client(t, proto), "GET", "https://crm/", nil)
		if n := sent.settled(t); n > most {
			t.Errorf("%d MB were taken from an upstream for a caller who does not read", n>>20)
		}
		sent.Store(0)
		go func() {
			sent.settled(t)
			goOn <- struct{}{}
		}()
		doortest.Open(t, d.client(t, proto), "POST", "https://crm/", io.TeeReader(zeros{}, &sent))
		if n := sent.Load(); n > most {
			t.Errorf("%d MB were taken from a caller for an upstream that does not read", n>>20)
		}
	})
}

// counter counts what is written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

// settled waits until nothing has come for a while.
func (c *counter) settled(t *testing.T) (n int64) {
	t.Helper()
	quiet := 0
	eventually(t, "end of what is taken", func() bool {
		time.Sleep(10 * time.Millisecond)
		if now := c.Load(); now != n || now == 0 {
			n, quiet = now, 0
		}
		quiet++
		return quiet > 15
	})
	return n
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestResponsesAreScrubbed(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Trailer", "X-Sum, Set-Cookie, X-Leak")
		h.Set("Link", "</style.css>; rel=preload")
		h.Add("Set-Cookie", "session=early")
		h.Set("X-Leak", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusEarlyHints)
		h.Set("Set-Cookie", "session=1")
		h.Set("Authorization", r.Header.Get("Authorization"))
		h.Set("X-Echo", "you sent "+strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
		h.Set("X-Password", password)
		h.Set("Intercom-Decision", "forged")
		h.Set("Proxy-Authenticate", "Basic")
		h.Set("Alt-Svc", `h3=":443"`)
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("X-App", "kept")
		h.Set("Location", "https://elsewhere.test/")
		h.Set("Etag", `"1"`)
		w.WriteHeader(http.StatusFound)
		_, _ = io.WriteString(w, "body")
		h.Set("X-Sum", "2")
		h.Set("Set-Cookie", "session=late")
		h.Set("X-Leak", password)
		h.Set(http.TrailerPrefix+"X-Late", basic)
	})
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		var early []http.Header
		a := doortest.Do(t, d.client(t, proto), "GET", "https://crm/", func(r *http.Request) { *r = *r.WithContext(doortest.TraceEarly(r.Context(), &early)) })
		if a.StatusCode != http.StatusFound || a.Text != "body" || a.Header.Get("Location") == "" || a.Header.Get("X-App") != "kept" || a.Header.Get("Etag") == "" {
			t.Errorf("what was kept: %d %v", a.StatusCode, a.Header)
		}
		for _, name := range []string{"Set-Cookie", "Authorization", "X-Echo", "X-Password", "X-Leak", "Proxy-Authenticate", "Alt-Svc", "X-Hop"} {
			if v, ok := a.Header[name]; ok {
				t.Errorf("%s came back: %q", name, v)
			}
		}
		if d := a.Decision(); d == "forged" || d == "" || len(a.Header[fault.DecisionHeader]) != 1 {
			t.Errorf("decision %q", a.Header[fault.DecisionHeader])
		}
		if v := a.Trailer["X-Leak"]; v == nil { // it was announced
			delete(a.Trailer, "X-Leak")
		}
		if diff := cmp.Diff(http.Header{"X-Sum": {"2"}}, a.Trailer); diff != "" {
			t.Errorf("trailer: %s", diff)
		}
		if len(early) != 1 || early[0].Get("Link") == "" || early[0].Get("Set-Cookie") != "" || early[0].Get("X-Leak") != "" {
			t.Errorf("early hints: %v", early)
		}
	})
}

// dial opens a WebSocket through the door.
func (d *door) dial(t *testing.T, path string) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), "https://crm"+path, &websocket.DialOptions{HTTPClient: d.client(t, "http/1.1"), Subprotocols: []string{"chat"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get(fault.DecisionHeader) == "" || res.Header.Get("Set-Cookie") != "" || c.Subprotocol() != "chat" {
		t.Errorf("answered %v", res.Header)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// talk is a WebSocket service that echoes, for callers with the right credential.
func talk(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", "session=1")
	if r.Header.Get("Authorization") != basic {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, data, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, data, err := c.Read(ctx); err != nil || string(data) != text {
		t.Fatalf("got %q, %v", data, err)
	}
}

func TestWebSocket(t *testing.T) {
	_, plain := upstream(t, talk)
	d := newDoor(t, crm(plain))
	secure := d.secureUpstream(t, talk)
	for name, flow := range map[string]string{"http": plain, "https": secure} {
		t.Run(name, func(t *testing.T) {
			d.services(t, crm(flow))
			c := d.dial(t, "/chat")
			for range 3 {
				say(t, c, strings.Repeat("\n\n hello", 1000))
			}
			if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Error(err)
			}
			last := d.journal.last(t)
			if last.Result != "ok" || last.Bytes < 6*8000 {
				t.Errorf("recorded as %+v", last)
			}
		})
	}
}

func TestWebSocketRefusedByTheUpstream(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	d := newDoor(t, crm(flow))
	client := d.client(t, "http/1.1")
	for range 2 { // the connection is as good as before
		_, res, err := websocket.Dial(t.Context(), "https://crm/", &websocket.DialOptions{HTTPClient: client})
		if err == nil || res.StatusCode != http.StatusForbidden {
			t.Errorf("got %v", err)
		}
	}
}

// TestUnaskedSwitchIsAFailure: an upstream that switches protocols by itself would get a tunnel.
func TestUnaskedSwitchIsAFailure(t *testing.T) {
	_, flow := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		_ = c.Close()
	})
	d := newDoor(t, crm(flow))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		a := doortest.Do(t, d.client(t, proto), "GET", "https://crm/")
		if p := a.Problem(t); a.StatusCode != http.StatusBadGateway || p.Code != egress.ReasonBroken {
			t.Errorf("got %d %+v", a.StatusCode, p)
		}
	})
}
