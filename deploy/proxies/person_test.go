package proxies_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// person sits at a browser, behind whose origin a proxy is. It shows where it is led, and does not go there.
type person struct {
	*gatewaytest.Person

	t  *testing.T
	w  *world
	at string
}

func (w *world) person(t *testing.T, proxy string) *person {
	t.Helper()
	p := &person{w.World.Person(t).StopBefore(gatewaytest.Everywhere), t, w, proxy}
	p.HTTP.Transport, p.HTTP.Timeout = w.through(t, proxy), time.Minute
	return p
}

// through reaches the origin at that address.
func (w *world) through(t *testing.T, proxy string) *http.Transport {
	transport := w.Transport(t)
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, proxy) }
	return transport
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(client)}}
	return d.DialContext(ctx, network, address)
}

// login goes to the provider and back.
func (p *person) login(name string) *person {
	p.t.Helper()
	p.Login(name)
	return p
}

func (p *person) logout() {
	p.t.Helper()
	if p.Logout() == "" {
		p.t.Fatal("nobody was logged in")
	}
}

// cookies are what the browser sends.
func (p *person) cookies() string {
	p.t.Helper()
	r := p.Request(p.t.Context(), http.MethodGet, "/", nil)
	for _, c := range p.HTTP.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// raw sends bytes over TLS to an address, and returns what comes back.
func (w *world) raw(t *testing.T, address, text string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := dial(ctx, "tcp", address)
	must(t, err)
	defer conn.Close()
	secure := tls.Client(conn, &tls.Config{RootCAs: w.Authority.Pool(), ServerName: host})
	must(t, secure.SetDeadline(time.Now().Add(30*time.Second)))
	_, err = io.WriteString(secure, text)
	must(t, err)
	return readAnswer(t, secure)
}
