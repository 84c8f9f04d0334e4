package brokertest_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/intercom-broker/intercom/broker/brokertest"
	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/secret"
)

// TestEgressDoorAsAssembled speaks HTTP/1.1 by hand to the egress door of a whole broker: identity, head
// reader, policy, injection, in this order.
func TestEgressDoorAsAssembled(t *testing.T) {
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s for %s, %t", r.Method, r.URL.Path, user, password == "pw")
	}))
	t.Cleanup(crm.Close)
	b := brokertest.Start(t, brokertest.Options{
		Policy:      "p, spiffe://intercom.test/orders, call, service/crm/GET/**, allow\n",
		Services:    "version: 1\nowner: test\nservices:\n  crm:\n    upstream: { url: \"" + crm.URL + "\", dial: [127.0.0.0/8] }\n    inject: { basic: { credential: crm/login } }\n",
		Credentials: map[credential.Name]credential.Fields{"crm/login": {"username": secret.FromString("intercom"), "password": secret.FromString("pw")}},
	})
	for name, c := range map[string]struct {
		send   string
		status int
		says   string
	}{
		"allowed":           {"GET /crm/customers HTTP/1.1\r\nHost: broker.test\r\n\r\n", 200, "GET /customers for intercom, true"},
		"denied":            {"DELETE /crm/customers/7 HTTP/1.1\r\nHost: broker.test\r\n\r\n", 403, "decision"},
		"two lengths":       {"POST /crm/x HTTP/1.1\r\nHost: broker.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""},
		"bare line feed":    {"GET /crm/customers HTTP/1.1\nHost: broker.test\n\n", 400, ""},
		"dot segment":       {"GET /crm/a/../customers HTTP/1.1\r\nHost: broker.test\r\n\r\n", 400, ""},
		"a head of 40 KiB":  {"GET /crm/customers HTTP/1.1\r\nHost: broker.test\r\nA: " + strings.Repeat("a", 40<<10) + "\r\n\r\n", 431, ""},
		"someone else's ID": {"GET /crm/customers HTTP/1.1\r\nHost: broker.test\r\nAuthorization: Basic eDp5\r\n\r\n", 200, "for intercom, true"},
	} {
		res, body := sendRaw(t, b, "/orders", c.send)
		if res.StatusCode != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %s %s; want %d and %q", name, res.Status, body, c.status, c.says)
		}
	}
	if res, body := sendRaw(t, b, "/billing", "GET /crm/customers HTTP/1.1\r\nHost: broker.test\r\n\r\n"); res.StatusCode != http.StatusForbidden {
		t.Errorf("a caller whom no rule names: %s %s", res.Status, body)
	}
}

// TestAHeadThatDoesNotCome: who is let in and says nothing, or not all, is let go.
func TestAHeadThatDoesNotCome(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the ten seconds that a head may take")
	}
	t.Parallel()
	b := brokertest.Start(t, brokertest.Options{Services: "version: 1\nowner: test\nservices:\n  crm: { upstream: \"https://crm.test\" }\n"})
	source := b.Domain.Source(b.ID("/orders"))
	config := mtls.Client(source, source, tlsconfig.AuthorizeID(b.ID("/broker")), "http/1.1")
	for name, text := range map[string]string{"nothing": "", "a part": "GET /crm/customers HTTP/1.1\r\nHost: broker"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", b.Egress)
			must(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte(text))
			must(t, err)
			must(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection stays")
			}
		})
	}
}

func sendRaw(t *testing.T, b *brokertest.Broker, path, text string) (*http.Response, string) {
	t.Helper()
	source := b.Domain.Source(b.ID(path))
	config := mtls.Client(source, source, tlsconfig.AuthorizeID(b.ID("/broker")), "http/1.1")
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", b.Egress)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = conn.Write([]byte(text))
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer res.Body.Close()
	var body strings.Builder
	_, err = bufio.NewReader(res.Body).WriteTo(&body)
	must(t, err)
	return res, body.String()
}
