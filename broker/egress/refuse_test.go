package egress_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// TestRefusedBodyHoldsNothing: who is refused and does not send the body that was announced is answered and
// let go, within seconds.
func TestRefusedBodyHoldsNothing(t *testing.T) {
	t.Parallel()
	_, flow := upstream(t, doortest.Echo)
	d := newDoor(t, crm(flow)+"  down:\n    upstream: "+at("http://127.0.0.1:1")+"\n    inject: { basic: { credential: crm/lost } }\n")
	d.rules.set(t, "p, spiffe://intercom.test/orders, call, service/down/**, allow")
	for name, test := range map[string]struct {
		head   string
		status int
	}{
		"denied, with a length": {"POST /crm/x HTTP/1.1\r\nHost: door.test\r\nContent-Length: 100\r\n\r\n", 403},
		"denied, in chunks":     {"POST /crm/x HTTP/1.1\r\nHost: door.test\r\nTransfer-Encoding: chunked\r\n\r\n", 403},
		"malformed":             {"POST /crm/a%2fb HTTP/1.1\r\nHost: door.test\r\nContent-Length: 100\r\n\r\n", 400},
		"without a credential":  {"POST /down/x HTTP/1.1\r\nHost: door.test\r\nContent-Length: 100\r\n\r\n", 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := tls.Dial("tcp", d.addr, d.clientTLS("/orders", "http/1.1"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			_, _ = fmt.Fprint(c, test.head)
			r := bufio.NewReader(c)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode != test.status || !res.Close {
				t.Errorf("got %d, closes: %v", res.StatusCode, res.Close)
			}
			var timeout net.Error
			if _, err := r.ReadByte(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("the connection is held: %v", err)
			}
		})
	}
}

// TestRefusalKeepsConnections that hold no body, and all of HTTP/2.
func TestRefusalKeepsConnections(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	d := newDoor(t, crm(flow))
	d.rules.set(t, "p, spiffe://intercom.test/orders, call, service/crm/GET/**, allow")
	doortest.Protocols(t, func(t *testing.T, proto string) {
		a := doortest.Do(t, d.client(t, proto), "DELETE", "https://crm/x")
		if a.StatusCode != 403 || a.Close {
			t.Errorf("got %d, closes: %v", a.StatusCode, a.Close)
		}
	})
}
