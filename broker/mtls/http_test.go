package mtls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// wrapped is a listener that hides the *tls.Conn of HTTP/1.1 connections, as a filter on heads does.
type wrapped struct{ net.Listener }

type hidden struct{ *tls.Conn }

func (h hidden) NetConn() net.Conn { return h.Conn }

func (w wrapped) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if secure := c.(*tls.Conn); secure.ConnectionState().NegotiatedProtocol != "h2" {
		return hidden{secure}, nil
	}
	return c, nil
}

func (f *fixture) serveHTTP(t *testing.T, handler http.Handler, wrap func(net.Listener) net.Listener) (url string, stop func() error) {
	t.Helper()
	return serveHTTP(t, mtls.Config{Name: "egress", TLS: f.serverTLS("h2", "http/1.1"), Metrics: f.metrics}, handler, wrap)
}

func serveHTTP(t *testing.T, cfg mtls.Config, handler http.Handler, wrap func(net.Listener) net.Listener) (url string, stop func() error) {
	t.Helper()
	raw := listen(t)
	l := mtls.ListenHTTP(raw, cfg)
	if wrap != nil {
		l = wrap(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- mtls.ServeHTTP(ctx, raw, l, &http.Server{Handler: handler}, 5*time.Second)
		close(done)
	}()
	stop = func() error { cancel(); return <-done }
	t.Cleanup(func() { _ = stop() })
	return "https://" + raw.Addr().String(), stop
}

// plainClient is net/http without any renewal of ours.
func (f *fixture) plainClient(t *testing.T, proto string) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(proto == "http/1.1")
	protocols.SetHTTP2(proto == "h2")
	transport := &http.Transport{TLSClientConfig: f.clientTLS(proto), Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// whoAmI answers with the connection's remote port, the protocol and the SPIFFE ID.
func whoAmI(w http.ResponseWriter, r *http.Request) {
	id, _, err := mtls.Peer(*r.TLS)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprintf(w, "%s %s %s", r.RemoteAddr, r.Proto, id)
}

func get(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// TestHTTPIsAskedToGo: past half of the peer's remaining life a response ends its connection; before that
// connections are kept, on both protocols and also beneath a filter.
func TestHTTPIsAskedToGo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		proto string
		wrap  func(net.Listener) net.Listener
	}{
		"HTTP/2":                  {"h2", nil},
		"HTTP/1.1":                {"http/1.1", nil},
		"HTTP/1.1 under a filter": {"http/1.1", func(l net.Listener) net.Listener { return wrapped{l} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 2*time.Second)
			url, _ := f.serveHTTP(t, http.HandlerFunc(whoAmI), tc.wrap)
			client := f.plainClient(t, tc.proto)
			half := time.Until(notAfter(t, f.client)) / 2
			begin := time.Now()
			first, err := get(client, url)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(first, f.client.ID().String()) || !strings.Contains(first, map[string]string{"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}[tc.proto]) {
				t.Errorf("answered %q", first)
			}
			for {
				again, err := get(client, url)
				if err != nil {
					t.Fatal(err)
				}
				life := time.Since(begin)
				if again == first {
					<-time.After(10 * time.Millisecond)
					continue
				}
				if life < half-100*time.Millisecond {
					t.Errorf("a new connection after %v, half of the life is %v", life, half)
				}
				if n := telemetrytest.Value(t, f.registry, "intercom_mtls_connections_expired_total"); n != 0 {
					t.Error("the connection was ended, not asked to go before")
				}
				return
			}
		})
	}
}

// TestHTTPStreamEndsAtNotAfter: a response that never ends is ended.
func TestHTTPStreamEndsAtNotAfter(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for an SVID to end")
	}
	for _, proto := range []string{"h2", "http/1.1"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, time.Second)
			gone := make(chan struct{})
			url, _ := f.serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				close(gone)
			}), nil)
			end := notAfter(t, f.client)
			client := f.plainClient(t, proto)
			client.Timeout = 10 * time.Second
			resp, err := client.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Error("the stream ended as if it were whole")
			}
			if late := time.Since(end); late < -100*time.Millisecond || late > 3*time.Second {
				t.Errorf("the stream ended %v after notAfter", late)
			}
			select {
			case <-gone:
			case <-time.After(30 * time.Second):
				t.Error("the handler was not told")
			}
		})
	}
}

// TestUpgradeIsLeftAlone: an upgraded connection is no longer HTTP's to close, and `Connection: close`
// beside `Connection: Upgrade` would confuse both ends.
func TestUpgradeIsLeftAlone(t *testing.T) {
	f := newFixture(t, time.Hour)
	ended := f.domain.Source(f.domain.ID("/x"))
	svid, err := ended.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	leaf := *svid.Certificates[0]
	leaf.NotBefore = time.Now().Add(-10 * time.Hour) // long past half, and no ConnContext to say more
	state := &tls.ConnectionState{}
	state.PeerCertificates = append(state.PeerCertificates, &leaf)
	for upgrade, want := range map[string]string{"": "close", "websocket": ""} {
		r, _ := http.NewRequest(http.MethodGet, "https://x/", nil)
		r.TLS = state
		r.Header.Set("Upgrade", upgrade)
		header := http.Header{}
		mtls.RenewAtHalfLife(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(recorder{header}, r)
		if got := header.Get("Connection"); got != want {
			t.Errorf("Upgrade: %q is answered with Connection: %q", upgrade, got)
		}
	}
}

type recorder struct{ header http.Header }

func (r recorder) Header() http.Header         { return r.header }
func (r recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r recorder) WriteHeader(int)             {}

// slowBody cannot be sent again: there is no GetBody for it.
type slowBody struct{ left int }

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	b.left--
	<-time.After(time.Millisecond)
	return copy(p, "x"), nil
}

// TestTransportUnderRotation streams bodies, which no client can send twice, while either end's SVIDs live
// briefly. The server never has to ask for a new connection.
func TestTransportUnderRotation(t *testing.T) {
	for name, life := range map[string][2]time.Duration{"the server rotates": {brief, time.Hour}, "the client rotates": {time.Hour, brief}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onSteadyMachine(t, func() []error { return transportUnderRotation(t, life[0], life[1]) })
		})
	}
}

func transportUnderRotation(t *testing.T, serverLife, clientLife time.Duration) (failures []error) {
	a, b := newDomain(t, "server.test", serverLife), newDomain(t, "client.test", clientLife)
	a.Federate(b)
	b.Federate(a)
	server, orders := a.Source(a.ID("/broker")), b.Source(b.ID("/orders"))
	f := newFixture(t, time.Hour)
	cfg := mtls.Config{TLS: mtls.Server(server, server, mtls.AllowDomains(b.Name()), "h2"), Metrics: f.metrics}
	var addrs sync.Map
	seen := func() (n int) {
		addrs.Range(func(any, any) bool { n++; return true })
		return n
	}
	url, stop := serveHTTP(t, cfg, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addrs.Store(r.RemoteAddr, true)
		asked := w.Header().Get("Connection") != ""
		if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 20 || r.ProtoMajor != 2 || asked {
			http.Error(w, fmt.Sprintf("%d bytes over %s, asked to go: %t: %v", n, r.Proto, asked, err), http.StatusBadRequest)
		}
	}), nil)
	defer func() { _ = stop() }()
	transport := mtls.NewTransport(mtls.TransportConfig{TLS: mtls.Client(orders, orders, mtls.AllowDomains(a.Name()), "h2"), SVID: orders})
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	failures = hammer(t, 8, func() error {
		resp, err := client.Post(url, "text/plain", io.MultiReader(&slowBody{left: 20}))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	}, func() bool { return seen() > 1 })
	t.Logf("%d connections", seen())
	if seen() < 2 {
		failures = append(failures, errors.New("the connection was never replaced"))
	}
	if n := telemetrytest.Value(t, f.registry, "intercom_mtls_connections_expired_total"); n != 0 {
		failures = append(failures, fmt.Errorf("%v connections were ended by the server", n))
	}
	return failures
}

func TestTransportRefusesStrangers(t *testing.T) {
	f := newFixture(t, time.Hour)
	url, _ := f.serveHTTP(t, http.HandlerFunc(whoAmI), nil)
	strict := mtls.Client(f.client, f.client, mtls.AllowDomains(), "h2")
	client := &http.Client{Transport: mtls.NewTransport(mtls.TransportConfig{TLS: strict, SVID: f.client})}
	if _, err := get(client, url); !contains(err, "not allowed") {
		t.Errorf("a server that is not allowed: %v", err)
	}
}

func TestHTTPDrain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, time.Hour)
	started := make(chan struct{})
	url, stop := f.serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-time.After(200 * time.Millisecond)
		whoAmI(w, r)
	}), nil)
	answered := make(chan error, 1)
	go func() {
		_, err := get(f.plainClient(t, "h2"), url)
		answered <- err
	}()
	<-started
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
}
