package gatewaytest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// Person sits at a browser with cookies, which follows redirects ([Person.StopBefore]).
type Person struct {
	// Home is the origin that paths are of.
	Home string
	// HTTP is the browser.
	HTTP *http.Client
	// IDP is the same person at the provider, if that is one of ours; else nil.
	IDP *providertest.Browser

	t testing.TB
	w *World
}

// Person is somebody new at the world's first origin.
func (w *World) Person(t testing.TB) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	p := &Person{Home: w.Origin(), HTTP: &http.Client{Transport: w.Transport(t), Jar: jar}, t: t, w: w}
	if w.IDP != nil {
		p.IDP = w.IDP.Browser(t)
	}
	return p
}

// For is the same person in another test.
func (p *Person) For(t testing.TB) *Person {
	other := *p
	other.t = t
	return &other
}

// Visit is the same person with the same browser, at another origin.
func (p *Person) Visit(origin string) *Person {
	other := *p
	other.Home = origin
	return &other
}

// At is the same person with the same cookies, whose requests come to that gateway, wherever the front leads.
func (p *Person) At(g *Gateway) *Person {
	other, browser := *p, *p.HTTP
	browser.Transport = p.w.to(p.t, g.Front)
	other.HTTP = &browser
	return &other
}

// StopBefore lets the browser show that it is led to such an address, in place of going there; nil means that it goes everywhere.
func (p *Person) StopBefore(stop func(*url.URL) bool) *Person {
	p.HTTP.CheckRedirect = nil
	if stop != nil {
		p.HTTP.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if stop(r.URL) {
				return http.ErrUseLastResponse
			}
			return nil
		}
	}
	return p
}

// Everywhere is where a browser stops that follows no redirect.
func Everywhere(*url.URL) bool { return true }

// Request is one to a path of Home or to anywhere, with headers as "Name: value"; an empty one is none.
func (p *Person) Request(ctx context.Context, method, target string, body io.Reader, headers ...string) *http.Request {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.Home + target
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	must(p.t, err)
	providertest.SetHeaders(r.Header, headers...)
	return r
}

// Try sends a [Person.Request].
func (p *Person) Try(method, target string, body io.Reader, headers ...string) (Answer, error) {
	p.t.Helper()
	res, err := p.HTTP.Do(p.Request(p.t.Context(), method, target, body, headers...))
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return Answer{res, string(text)}, err
}

// Do is Try that must be answered.
func (p *Person) Do(method, target string, body io.Reader, headers ...string) Answer {
	p.t.Helper()
	a, err := p.Try(method, target, body, headers...)
	must(p.t, err)
	return a
}

// Post sends a form.
func (p *Person) Post(target string, form url.Values, headers ...string) Answer {
	p.t.Helper()
	return p.Do(http.MethodPost, target, strings.NewReader(form.Encode()), append(headers, "Content-Type: application/x-www-form-urlencoded")...)
}

// Navigation are the headers of one by a page of the same origin, for somebody who reads English unless also says more.
func Navigation(also ...string) []string {
	return append(append(providertest.Navigate(), "Accept-Language: en"), also...)
}

// Navigate opens a page, and goes where it leads.
func (p *Person) Navigate(target string) Answer {
	p.t.Helper()
	return p.Do(http.MethodGet, target, nil, Navigation()...)
}

// Fetch is what a page of Home does.
func (p *Person) Fetch(method, target string, headers ...string) Answer {
	p.t.Helper()
	return p.Do(method, target, nil, append(providertest.Fetch(p.Home), headers...)...)
}

// Session is the value of the session's cookie; empty means that there is none.
func (p *Person) Session() string {
	home, err := url.Parse(p.Home)
	must(p.t, err)
	for _, c := range p.HTTP.Jar.Cookies(home) {
		if c.Name == "__Host-Http-ic" {
			return c.Value
		}
	}
	return ""
}

// State is what /bff/session says.
type State struct {
	Authenticated bool           `json:"authenticated"`
	CSRF          string         `json:"csrf_token"`
	Claims        map[string]any `json:"claims"`
}

// State asks the gateway who is logged in.
func (p *Person) State() (s State) {
	p.t.Helper()
	must(p.t, json.Unmarshal([]byte(p.Fetch(http.MethodGet, "/bff/session").Text), &s))
	return s
}
