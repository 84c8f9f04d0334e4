package proxies_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// person sits at a browser, behind whose origin a proxy is.
type person struct {
	t    *testing.T
	w    *world
	at   string
	idp  *providertest.Browser
	http *http.Client
}

func (w *world) person(t *testing.T, proxy string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &person{t, w, proxy, w.IDP.Browser(t), &http.Client{Transport: w.through(t, proxy), Jar: jar, CheckRedirect: stay, Timeout: time.Minute}}
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

// plainly is the same person without HTTP/2.
func (p *person) plainly() *http.Transport {
	transport := p.w.through(p.t, p.at)
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	return transport
}

type answer struct {
	*http.Response
	text string
}

func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(a.text), &p)
	return p.Code
}

// arrived is what the service says that it got.
func (a answer) arrived(t *testing.T) (got arrived) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", a.Request.URL, a.Status, a.text)
	}
	must(t, json.Unmarshal([]byte(a.text), &got))
	return got
}

// do sends a request with headers as "Name: value"; an empty one is none.
func (p *person) do(method, path string, body io.Reader, headers ...string) answer {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.w.Origin()+path, body)
	must(p.t, err)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name != "" {
			r.Header.Set(name, value)
		}
	}
	res, err := p.http.Do(r)
	must(p.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(p.t, err)
	return answer{res, string(text)}
}

func (p *person) navigate(path string) answer {
	p.t.Helper()
	return p.do(http.MethodGet, path, nil, providertest.Navigate()...)
}

// fetch is what a page does.
func (p *person) fetch(method, path string, headers ...string) answer {
	p.t.Helper()
	return p.do(method, path, nil, append(providertest.Fetch(p.w.Origin()), headers...)...)
}

// login goes to the provider and back.
func (p *person) login(name string) *person {
	p.t.Helper()
	begun := p.navigate("/bff/login?return_to=/orders/1")
	if begun.StatusCode != http.StatusFound {
		p.t.Fatalf("login: %s %.300s", begun.Status, begun.text)
	}
	back := p.idp.Login(begun.Header.Get("Location"), name)
	if res := p.navigate("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders/1" {
		p.t.Fatalf("callback: %s %v %.300s", res.Status, res.Header, res.text)
	}
	return p
}

// state is what /bff/session says.
func (p *person) state() (s struct {
	Authenticated bool   `json:"authenticated"`
	CSRF          string `json:"csrf_token"`
}) {
	p.t.Helper()
	must(p.t, json.Unmarshal([]byte(p.fetch(http.MethodGet, "/bff/session").text), &s))
	return s
}

func (p *person) csrf() string { return "X-CSRF-Token: " + p.state().CSRF }

func (p *person) logout() {
	p.t.Helper()
	if res := p.fetch(http.MethodPost, "/bff/logout", p.csrf()); res.StatusCode != http.StatusOK || !strings.Contains(res.text, "logout_url") {
		p.t.Fatalf("logout: %s %.300s", res.Status, res.text)
	}
}

// cookies are what the browser sends.
func (p *person) cookies() string {
	r, err := http.NewRequest(http.MethodGet, p.w.Origin(), nil) //nolint:noctx // not sent
	must(p.t, err)
	for _, c := range p.http.Jar.Cookies(r.URL) {
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
