package egress_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// TestWhatIsLeftOfABodyIsNoRequest: an upstream that answers before it has read the body leaves bytes on the
// connection, and among them may be what looks like a request. It is not waited for either.
func TestWhatIsLeftOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	var smuggled atomic.Int64
	early := doortest.Breaking("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
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
			doortest.SendRest(t, c, pieces[0], pieces[1])
		})
	}
	t.Cleanup(func() {
		if smuggled.Load() != 0 {
			t.Error("the rest of a body was taken for a request")
		}
	})
}
