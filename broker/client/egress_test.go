package client_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// echo says what arrived.
func echo(calls *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, cert, err := mtls.Peer(*r.TLS)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Thumbprint", mtls.Thumbprint(cert))
		fmt.Fprintf(w, "%s %s %s%s %s", r.Proto, r.Method, r.Host, r.URL.Path, body)
	})
}

func send(t *testing.T, c *client.Client, method, url, body string) (string, error) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = io.MultiReader(strings.NewReader(body)) // of unknown length, and not to be sent twice
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Egress().RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return string(got), err
}

func TestEgressNamesTheService(t *testing.T) {
	d := domain(t, embedded.Config{})
	var calls atomic.Int64
	e := startEgress(t, d, anywhere, echo(&calls))
	c := dial(t, d, client.Config{EgressAddresses: []string{e.addr()}})
	got, err := send(t, c, http.MethodPost, "http://crm/people", "body")
	if err != nil || got != "HTTP/2.0 POST crm/people body" {
		t.Errorf("arrived as %q, %v", got, err)
	}
}

func TestEgressWithoutAddress(t *testing.T) {
	c := dial(t, domain(t, embedded.Config{}), client.Config{})
	if _, err := send(t, c, http.MethodGet, "http://crm/", ""); fault.From(err).Reason != "NO_EGRESS" {
		t.Errorf("got %v", err)
	}
}

func TestEgressFailsOver(t *testing.T) {
	d := domain(t, embedded.Config{})
	var one, two atomic.Int64
	first, second := startEgress(t, d, anywhere, echo(&one)), startEgress(t, d, anywhere, echo(&two))
	c := dial(t, d, client.Config{EgressAddresses: []string{first.addr(), second.addr()}})
	for range 10 {
		if _, err := send(t, c, http.MethodPost, "http://crm/", "body"); err != nil {
			t.Fatal(err)
		}
	}
	if one.Load() != 5 || two.Load() != 5 {
		t.Errorf("not balanced: %d and %d", one.Load(), two.Load())
	}
	first.pull()
	time.Sleep(50 * time.Millisecond) // until its connections are known to be gone
	for range 10 {
		got, err := send(t, c, http.MethodPost, "http://crm/", "body")
		if err != nil || !strings.HasSuffix(got, " body") {
			t.Errorf("after one is gone: %q, %v", got, err)
		}
	}
	startEgress(t, d, first.addr(), echo(&one))
	eventually(t, "the one that is back is used", func() bool {
		if _, err := send(t, c, http.MethodGet, "http://crm/", ""); err != nil {
			t.Error(err)
		}
		return one.Load() > 6
	})
	second.pull()
	first.pull()
}

func TestEgressUnreachable(t *testing.T) {
	d := domain(t, embedded.Config{})
	c := dial(t, d, client.Config{EgressAddresses: []string{"127.0.0.1:1", "127.0.0.1:2"}})
	_, err := send(t, c, http.MethodPost, "http://crm/?secret=1", "body")
	f := fault.From(err)
	if f.Kind != fault.Unavailable || f.Reason != "EGRESS_UNREACHABLE" || !strings.Contains(f.Message, "127.0.0.1:2") {
		t.Errorf("got %+v", f)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the query is in the log: %v", err)
	}
}

// breaks answers nothing and drops the connection, after it read the request.
func breaks(calls *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		panic(http.ErrAbortHandler)
	})
}

func TestEgressRepeatsOnlyWhatMayBe(t *testing.T) {
	for method, want := range map[string]int64{http.MethodGet: 2, http.MethodPost: 1, http.MethodDelete: 1} {
		d := domain(t, embedded.Config{})
		var calls atomic.Int64
		one, two := startEgress(t, d, anywhere, breaks(&calls)), startEgress(t, d, anywhere, breaks(&calls))
		c := dial(t, d, client.Config{EgressAddresses: []string{one.addr(), two.addr()}})
		if _, err := send(t, c, method, "http://crm/", ""); fault.From(err).Reason != client.ReasonBroken {
			t.Errorf("%s: %v", method, err)
		}
		if calls.Load() != want {
			t.Errorf("%s was sent %d times, want %d", method, calls.Load(), want)
		}
	}
}

func TestEgressUpgrades(t *testing.T) {
	d := domain(t, embedded.Config{})
	e := startEgress(t, d, anywhere, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, r.Proto+": "+err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	}))
	c := dial(t, d, client.Config{EgressAddresses: []string{e.addr()}})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://crm/ws", nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := c.Egress().RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	both := resp.Body.(io.ReadWriteCloser)
	defer both.Close()
	fmt.Fprintln(both, "hello")
	if got, err := bufio.NewReader(both).ReadString('\n'); got != "echo hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestEgressRotation: new requests use the new SVID, one that is under way is finished on the old one, and
// then the old connections are gone.
func TestEgressRotation(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	release, began := make(chan struct{}), make(chan struct{}, 1)
	var calls atomic.Int64
	e := startEgress(t, d, anywhere, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- struct{}{}
			<-release
		}
		echo(&calls).ServeHTTP(w, r)
	}))
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, EgressAddresses: []string{e.addr()}, Timeout: time.Second})
	former := c.Conn()
	slow := make(chan error, 1)
	go func() { _, err := send(t, c, http.MethodPost, "http://crm/slow", "body"); slow <- err }()
	<-began
	follow(t, c, nil)
	d.Rotate()
	eventually(t, "another SVID is in use", func() bool { return c.Conn() != former })
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://crm/", nil)
	resp, err := c.Egress().RoundTrip(req)
	if err != nil || resp.Header.Get("Thumbprint") != c.Conn().Thumbprint() {
		t.Errorf("after the rotation: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	time.Sleep(1500 * time.Millisecond) // longer than the grace
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("what was under way: %v", err)
	}
	eventually(t, "the old connection is closed", func() bool { return e.closed() >= 1 })
}

// closed counts the connections that the other side has closed.
func (p *plug) closed() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if err := c.SetReadDeadline(time.Now().Add(time.Hour)); errors.Is(err, net.ErrClosed) {
			n++
		}
	}
	return n
}
