package egress_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestWhatIsLeftOfABodyIsNoRequest: an upstream that answers before it has read the body leaves bytes on the
// connection, and among them may be what looks like a request. It is not waited for either.
func TestWhatIsLeftOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	var smuggled atomic.Int64
	early := breaking("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
	_, flow := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Add(1)
		}
		early(w, r)
	})
	d := newDoor(t, crm(flow))
	const head, request = "POST /crm/early HTTP/1.1\r\nHost: door.test\r\n", "GET /crm/smuggled HTTP/1.1\r\nHost: door.test\r\n\r\n"
	for name, pieces := range map[string][2]string{
		"a length that is never reached": {head + "Content-Length: 1000\r\n\r\nx", request},
		"a chunk that never ends":        {head + "Transfer-Encoding: chunked\r\n\r\n1000\r\nx", request},
		"chunks that net/http gives up":  {head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("a", 500)+"\r\nx\r\n", 60), request},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := tls.Dial("tcp", d.addr, d.clientTLS("/orders", "http/1.1"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			_, _ = io.WriteString(c, pieces[0])
			r := bufio.NewReader(c)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_, _ = io.WriteString(c, pieces[1])
			if rest, err := io.ReadAll(r); len(rest) > 0 || !res.Close || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("closes: %v, and then came %q, %v", res.Close, rest, err)
			}
		})
	}
	t.Cleanup(func() {
		if smuggled.Load() != 0 {
			t.Error("the rest of a body was taken for a request")
		}
	})
}
