package gateway_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// person sits at a browser with cookies, in front of one of the gateways.
type person struct {
	t    testing.TB
	w    *world
	idp  *providertest.Browser
	http *http.Client
}

func (w *world) person(t testing.TB, replica int) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	transport := w.transport(replica)
	t.Cleanup(transport.CloseIdleConnections) // before the gateway ends, which waits a second for HTTP/2
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &person{t, w, w.idp.Browser(t), &http.Client{Transport: transport, Jar: jar, CheckRedirect: stay}}
}

// at is the same person, whose next requests come to another replica.
func (p *person) at(replica int) *person {
	other, transport := *p, p.w.transport(replica)
	p.t.Cleanup(transport.CloseIdleConnections)
	other.http = &http.Client{Transport: transport, Jar: p.http.Jar, CheckRedirect: p.http.CheckRedirect}
	return &other
}

// answer is what came back.
type answer struct {
	*http.Response
	text string
}

// do sends a request with headers as "Name: value".
func (p *person) do(method, path string, headers ...string) answer {
	p.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = origin + path
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, target, nil)
	must(p.t, err)
	for name, value := range headersOf(headers) {
		r.Header.Set(name, value)
	}
	res, err := p.http.Do(r)
	must(p.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(p.t, err)
	return answer{res, string(text)}
}

// navigate opens a page.
func (p *person) navigate(path string) answer {
	p.t.Helper()
	return p.do(http.MethodGet, path, providertest.Navigate()...)
}

// fetch is what a page of ours does.
func (p *person) fetch(method, path string, headers ...string) answer {
	p.t.Helper()
	return p.do(method, path, append(providertest.Fetch(origin), headers...)...)
}

// login goes to the provider and back.
func (p *person) login(name string) {
	p.t.Helper()
	begun := p.navigate("/bff/login?return_to=/orders/1")
	if begun.StatusCode != http.StatusFound {
		p.t.Fatalf("login: %d %s", begun.StatusCode, begun.text)
	}
	back := p.idp.Login(begun.Header.Get("Location"), name)
	if res := p.navigate("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/orders/1" {
		p.t.Fatalf("callback: %d %q %s", res.StatusCode, res.Header.Get("Location"), res.text)
	}
}

// session is the value of the cookie; empty when there is none.
func (p *person) session() string {
	r, err := http.NewRequest(http.MethodGet, origin, nil) //nolint:noctx // not sent
	must(p.t, err)
	for _, c := range p.http.Jar.Cookies(r.URL) {
		if c.Name == "__Host-Http-ic" {
			return c.Value
		}
	}
	return ""
}

// headersOf takes "Name: value" apart.
func headersOf(lines []string) map[string]string {
	headers := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		headers[name] = value
	}
	return headers
}
