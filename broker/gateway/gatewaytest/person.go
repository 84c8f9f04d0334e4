package gatewaytest

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Person sits at a browser with cookies, which follows redirects.
type Person struct {
	// Home is the origin that paths are of.
	Home string
	// HTTP is the browser.
	HTTP *http.Client

	t testing.TB
	w *World
}

// Answer is what came back, whole.
type Answer struct {
	*http.Response
	// Text is its body.
	Text string
}

// Person is somebody new at the world's first origin.
func (w *World) Person(t testing.TB) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &Person{Home: w.Origin(), HTTP: &http.Client{Transport: w.Transport(t), Jar: jar}, t: t, w: w}
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

// At makes the next requests come to that gateway.
func (p *Person) At(g *Gateway) {
	p.w.Front.Lead(g.Front)
	p.HTTP.CloseIdleConnections()
}

// Try sends a request, to a path of Home or anywhere; form may be nil.
func (p *Person) Try(method, target string, form url.Values, headers map[string]string) (Answer, error) {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.Home + target
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(form.Encode()))
	must(p.t, err)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := p.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return Answer{res, string(text)}, err
}

// Do is Try that must be answered.
func (p *Person) Do(method, target string, form url.Values, headers map[string]string) Answer {
	p.t.Helper()
	a, err := p.Try(method, target, form, headers)
	must(p.t, err)
	return a
}

// Navigation are the headers of one by a page of the same origin, for somebody who reads English.
func Navigation() map[string]string {
	return map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}
}

// Navigate opens a page, and goes where it leads.
func (p *Person) Navigate(target string) Answer {
	p.t.Helper()
	return p.Do(http.MethodGet, target, nil, Navigation())
}

// Fetch is what a page does; headers are names and values in turn.
func (p *Person) Fetch(method, target string, headers ...string) Answer {
	p.t.Helper()
	all := map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
	for i := 0; i+1 < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
	}
	return p.Do(method, target, nil, all)
}

// Submit sends the first form of a page with these fields, besides those that the page hides in it, and goes where it leads.
func (p *Person) Submit(page Answer, fields url.Values) Answer {
	p.t.Helper()
	action := regexp.MustCompile(`<form[^>]* action="([^"]+)"`).FindStringSubmatch(page.Text)
	if action == nil {
		p.t.Fatalf("no form at %s: %s %.500s", page.Request.URL, page.Status, page.Text)
	}
	to, err := page.Request.URL.Parse(html.UnescapeString(action[1]))
	must(p.t, err)
	all := url.Values{}
	for _, hidden := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(page.Text, -1) {
		all.Set(hidden[1], html.UnescapeString(hidden[2]))
	}
	for name := range fields {
		all.Set(name, fields.Get(name))
	}
	return p.Do(http.MethodPost, to.String(), all, Navigation())
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

// Claims are what a service says of the token that it got, where services say that.
func (a Answer) Claims(t testing.TB) (claims map[string]any) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", a.Request.URL, a.Status, a.Text)
	}
	must(t, json.Unmarshal([]byte(a.Text), &claims))
	return claims
}
