package hygiene_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// upgrading answers /yes with 101 and echoes lines from then on, and everything else with 403.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/yes" {
		w.WriteHeader(http.StatusEarlyHints) // an interim answer decides nothing
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusEarlyHints)
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(c, rw)
}

const ask = " HTTP/1.1\r\nHost: a\r\n" + upgrade + "\r\n" + version + "\r\n" + key + "\r\n\r\n"

// TestConnLetsAnUpgradePass sends what no head may hold, before and after the 101.
func TestConnLetsAnUpgradePass(t *testing.T) {
	addr := serve(t, upgrading)
	for _, pieces := range [][]string{
		{"GET /yes" + ask, "\n\nGET / HTTP/1.1\n", "more\r\n"},
		{"GET /yes" + ask + "\n\nGET / HTTP/1.1\n", "more\r\n"},
		{"GET /no HTTP/1.1\r\nHost: a\r\n\r\nGET /yes" + ask, "\n\nGET / HTTP/1.1\nmore\r\n"},
	} {
		answer := exchange(t, addr, pieces...)
		if !strings.HasSuffix(answer, "\r\n\r\n\n\nGET / HTTP/1.1\nmore\r\n") {
			t.Errorf("%q: got\n%s", pieces, answer)
		}
	}
}

// TestConnGoesOnCheckingWhenAnUpgradeIsRefused is the smuggler's way in, were it enough to ask.
func TestConnGoesOnCheckingWhenAnUpgradeIsRefused(t *testing.T) {
	addr := serve(t, upgrading)
	const bad = "POST /yes HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	for _, pieces := range [][]string{{"GET /no" + ask, bad}, {"GET /no" + ask + bad}, {"GET /no" + ask + bad[:1], bad[1:]}} {
		if got := strings.Join(statuses(exchange(t, addr, pieces...)), " "); got != "103 403 400" {
			t.Errorf("%q: got %s", pieces, got)
		}
	}
	if got := strings.Join(statuses(exchange(t, addr, "GET /no"+ask, "GET /no HTTP/1.1\r\nHost: a\r\n\r\n")), " "); got != "103 403 103 403" {
		t.Errorf("a good request after it: got %s", got)
	}
}

func TestConnLetsPlainHTTP2Pass(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	if got := get(t, transport, "http://"+addr); got != "HTTP/2.0" {
		t.Errorf("got %q", got)
	}
}

func get(t *testing.T, transport http.RoundTripper, url string) string {
	t.Helper()
	client := http.Client{Transport: transport, Timeout: 30 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// handshaking is the listener below: it accepts what has shaken hands.
type handshaking struct {
	net.Listener
	cfg *tls.Config
}

func (l handshaking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	secure := tls.Server(c, l.cfg)
	return secure, secure.Handshake()
}

// TestConnUnderTLS holds that net/http still negotiates HTTP/2 and still sees the peer, and that HTTP/1 is
// checked.
func TestConnUnderTLS(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Proto, " ", r.TLS != nil && r.TLS.HandshakeComplete)
	})}
	go func() { _ = srv.Serve(hygiene.Listener(handshaking{l, cfg})) }()
	defer func() { _ = srv.Close() }()

	for _, h2 := range []bool{true, false} {
		transport := certified.Client().Transport.(*http.Transport).Clone()
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(!h2)
		transport.Protocols.SetHTTP2(h2)
		want := map[bool]string{true: "HTTP/2.0 true", false: "HTTP/1.1 true"}[h2]
		if got := get(t, transport, "https://"+l.Addr().String()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		transport.CloseIdleConnections()
	}

	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\nHost: a\n\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("got %v, %v", res, err)
	}
}

// TestListenerWantsTheHandshakeDone: without it HTTP/2 would be taken for HTTP/1.
func TestListenerWantsTheHandshakeDone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	if _, err := hygiene.Listener(tls.NewListener(l, &tls.Config{})).Accept(); err == nil || !strings.Contains(err.Error(), "handshake") {
		t.Errorf("got %v", err)
	}
	_ = l.Close()
	if _, err := hygiene.Listener(l).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
