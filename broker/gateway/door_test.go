package gateway_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway"
	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// plaintext is a gateway before which TLS ends.
func plaintext(c *gateway.Config) {
	c.Listen.Cert, c.Listen.Key, c.Unsafe.Plaintext = "", "", true
}

// TestDoorsCheckHeads: what two readers of HTTP/1 may read differently is refused before net/http reads it, with TLS
// and without (RFC 9112, sections 2.2, 5.2 and 6.1).
func TestDoorsCheckHeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	cfg := w.config(t)
	plaintext(&cfg)
	w.Add(t, cfg)
	dial := map[string]func() (net.Conn, error){
		"TLS": func() (net.Conn, error) {
			return tls.Dial("tcp", w.Gateways[0].Front, &tls.Config{RootCAs: w.Authority.Pool(), ServerName: host})
		},
		"plaintext": func() (net.Conn, error) { return net.Dial("tcp", w.Gateways[1].Front) },
	}
	for door, open := range dial {
		for name, c := range map[string]struct {
			head string
			want int
		}{
			"a good one":                        {"GET /bff/session HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusOK},
			"two lengths":                       {"POST /bff/session/touch HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", http.StatusBadRequest},
			"a line that ends in half":          {"GET /bff/session HTTP/1.1\nHost: HOST\r\n\r\n", http.StatusBadRequest},
			"a line that goes on":               {"GET /bff/session HTTP/1.1\r\nHost: HOST\r\nX-A: b\r\n c\r\n\r\n", http.StatusBadRequest},
			"a host of somebody else's":         {"GET /bff/session HTTP/1.1\r\nHost: evil.test\r\n\r\n", http.StatusNotFound},
			"a path that leads out of our own":  {"GET /bff/../orders/1 HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusBadRequest},
			"two slashes":                       {"GET /bff//session HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusBadRequest},
			"a method that answers its request": {"TRACE /bff/session HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusMethodNotAllowed},
			"a path with a hidden slash":        {"GET /orders/%2e%2e/items/1 HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusBadRequest},
			"another's address in the request":  {"GET http://127.0.0.1:1/bff/session HTTP/1.1\r\nHost: HOST\r\n\r\n", http.StatusBadRequest},
		} {
			t.Run(door+"/"+name, func(t *testing.T) {
				conn, err := open()
				must(t, err)
				defer conn.Close()
				must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
				_, err = io.WriteString(conn, strings.ReplaceAll(c.head, "HOST", w.hostPort()))
				must(t, err)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				must(t, err)
				defer res.Body.Close()
				if res.StatusCode != c.want {
					t.Errorf("%s, want %d", res.Status, c.want)
				}
			})
		}
	}
}

// TestReload: a service that comes is reached, one that goes is not, and a stream of another does not notice. Files
// that do not hold change nothing but /readyz.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t, 0)
	alice.Login("alice")
	held := alice.stream("/orders/stream")
	reached := func(path string, status int) func() bool {
		return func() bool { return alice.Fetch(http.MethodGet, path).StatusCode == status }
	}
	w.edit(t, serviceFile, `match: "/items/**"`, `match: "/things/**"`)
	gatewaytest.Eventually(t, "the new route is there", reached("/things/1", http.StatusOK))
	gatewaytest.Eventually(t, "the old one is not", reached("/items/1", http.StatusNotFound))
	w.edit(t, serviceFile, `match: "/things/**"`, `match: { host: other.test, path: "/items/**" }`)
	gatewaytest.Eventually(t, "readyz says why", func() bool {
		status, text := w.Gateways[0].Readyz(t)
		return status == http.StatusServiceUnavailable && strings.Contains(text, "other.test")
	})
	if !reached("/things/1", http.StatusOK)() {
		t.Error("files that do not hold took a route away")
	}
	select {
	case <-held.over:
		t.Error("the stream of an untouched route ended")
	default:
	}
	held.stop()
}

// TestOwnPathsAreRefusedInOurWords: what is not there, and what is there for another method.
func TestOwnPathsAreRefusedInOurWords(t *testing.T) {
	t.Parallel()
	alice := newWorld(t, options{}).person(t, 0)
	for what, c := range map[string]struct {
		got    gatewaytest.Answer
		status int
		allow  string
		word   string
	}{
		"nothing there":          {alice.Fetch(http.MethodGet, "/bff/nothing"), http.StatusNotFound, "", `"code":"route_unknown"`},
		"a page that is none":    {alice.Navigate("/bff/nothing"), http.StatusNotFound, "", "<h1>Not found</h1>"},
		"another method":         {alice.Fetch(http.MethodDelete, "/bff/session"), http.StatusMethodNotAllowed, "GET", `"code":"method_not_allowed"`},
		"another method, logout": {alice.Fetch(http.MethodPut, "/bff/backchannel-logout"), http.StatusMethodNotAllowed, "POST", `"code":"`},
		"a path in another form": {alice.Fetch(http.MethodGet, "/bff//session"), http.StatusBadRequest, "", `"code":"request_refused"`},
	} {
		if c.got.StatusCode != c.status || c.got.Header.Get("Allow") != c.allow || !strings.Contains(c.got.Text, c.word) {
			t.Errorf("%s: %d %v %s", what, c.got.StatusCode, c.got.Header, c.got.Text)
		}
	}
}
