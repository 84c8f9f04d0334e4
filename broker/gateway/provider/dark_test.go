package provider_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/provider"
)

// wire leads connections on, until they go dark: nothing comes through any more, and nobody is told.
type wire struct {
	net.Listener

	mu   sync.Mutex
	dark chan struct{}
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, dark: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = from.Close() })
			go w.lead(from, to)
		}
	}()
	return w
}

func (w *wire) lead(from net.Conn, to string) {
	on, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	w.mu.Lock()
	dark := w.dark
	w.mu.Unlock()
	for _, way := range [][2]net.Conn{{from, on}, {on, from}} {
		go func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := way[1].Read(buffer)
				select {
				case <-dark:
					return
				default:
				}
				if _, failed := way[0].Write(buffer[:n]); err != nil || failed != nil {
					return
				}
			}
		}()
	}
}

// cut darkens the connections that there are; new ones are led on.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.dark)
	w.dark = make(chan struct{})
}

// TestDarkConnection: a connection on which nothing comes any more, of a node that is gone, is given up by itself, and
// another is made.
func TestDarkConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes ten seconds")
	}
	t.Parallel()
	var issuer string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("over %s", r.Proto)
		}
		_, _ = io.WriteString(w, fmt.Sprintf(`{"issuer":%[1]q,"authorization_endpoint":"%[1]s/a","token_endpoint":"%[1]s/t","jwks_uri":"%[1]s/k"}`, issuer))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	w := newWire(t, s.Listener.Addr().String())
	issuer = "https://" + w.Addr().String()
	roots, now := x509.NewCertPool(), newClock()
	roots.AddCert(s.Certificate())
	p, err := provider.Open(t.Context(), provider.Config{Issuer: issuer, ClientID: clientID, RootCAs: roots, Auth: provider.Auth{Secret: bySecret}, Now: now.Now})
	if err == nil {
		err = p.Ready()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.cut()
	began := time.Now()
	for ctx := deadline(t); ; {
		now.Add(6 * time.Second)
		if err = p.Answers(ctx); err == nil {
			break
		}
		if ctx.Err() != nil || time.Since(began) > 30*time.Second {
			t.Fatalf("for %v: %v", time.Since(began), err)
		}
	}
	t.Logf("another connection after %v", time.Since(began))
}
