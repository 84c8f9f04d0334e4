package client_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
)

// TestBundlesAloneAreNoRotation: what changes the bundles tells the source's watchers too.
func TestBundlesAloneAreNoRotation(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	former := c.Conn()
	follow(t, c, nil)
	for range 3 {
		if err := d.PrepareAuthority(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := exchange(t, c); err != nil || c.Conn() != former {
		t.Errorf("the SVID did not change, the Conn did: %v; %v", c.Conn() != former, err)
	}
}

// TestEgressAvoidsWhatIsAway: an address that does not answer is not asked by every request.
func TestEgressAvoidsWhatIsAway(t *testing.T) {
	d := domain(t, embedded.Config{})
	var calls atomic.Int64
	good, away := startEgress(t, d, anywhere, echo(&calls)), listen(t, anywhere)
	away.full.Store(true)
	go func() {
		for _, err := away.Accept(); err == nil; {
			_, err = away.Accept()
		}
	}()
	c := dial(t, d, client.Config{EgressAddresses: []string{away.addr(), good.addr()}})
	for range 60 {
		if _, err := send(t, c, http.MethodGet, "http://crm/", ""); err != nil {
			t.Fatal(err)
		}
	}
	away.mu.Lock()
	defer away.mu.Unlock()
	if n := len(away.conns); n == 0 || n > 20 {
		t.Errorf("%d attempts at the one that is away, for 60 requests", n)
	}
}

// TestEgressRepeatsNoBody: of a body nobody knows how much was read.
func TestEgressRepeatsNoBody(t *testing.T) {
	d := domain(t, embedded.Config{})
	var calls atomic.Int64
	one, two := startEgress(t, d, anywhere, breaks(&calls)), startEgress(t, d, anywhere, breaks(&calls))
	c := dial(t, d, client.Config{EgressAddresses: []string{one.addr(), two.addr()}})
	if _, err := send(t, c, http.MethodGet, "http://crm/", "a GET with a body"); err == nil || calls.Load() != 1 {
		t.Errorf("sent %d times: %v", calls.Load(), err)
	}
}

// TestEgressFailsOverWithAnOpenBody: the body that the first attempt gave back is still open when the second
// one is answered before the body has ended.
func TestEgressFailsOverWithAnOpenBody(t *testing.T) {
	d := domain(t, embedded.Config{})
	good := startEgress(t, d, anywhere, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
	}))
	for _, addresses := range [][]string{{good.addr(), "127.0.0.1:1"}, {"127.0.0.1:1", good.addr()}} { // either is first in turn
		c := dial(t, d, client.Config{EgressAddresses: addresses})
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://crm/", pr)
		go fmt.Fprintln(pw, "one")
		resp, err := c.Egress().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer := bufio.NewReader(resp.Body)
		for _, line := range []string{"one", "two"} {
			if got, err := answer.ReadString('\n'); strings.TrimSpace(got) != "got "+line {
				t.Errorf("want %s, got %q, %v", line, got, err)
			}
			if _, err := fmt.Fprintln(pw, "two"); err != nil {
				t.Errorf("the body is closed: %v", err)
				break
			}
		}
		_ = pw.Close()
		_ = resp.Body.Close()
	}
}
