package providersuite

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

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// Person sits at a browser with cookies, which follows redirects.
type Person struct {
	t    *testing.T
	w    *gatewaytest.World
	home string // the origin that paths are of
	http *http.Client
	// stop ends the following of redirects before such an address; nil means never.
	stop func(*url.URL) bool
	form func(user string) url.Values
}

// Answer is what came back, whole.
type Answer struct {
	*http.Response
	// Text is its body.
	Text string
}

func newPerson(t *testing.T, w *gatewaytest.World, form func(string) url.Values) *Person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	p := &Person{t: t, w: w, home: w.Origin(), form: form}
	p.http = &http.Client{Transport: w.Transport(t), Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if p.stop != nil && p.stop(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return p
}

func (p *Person) do(method, target string, form url.Values, headers map[string]string) Answer {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.home + target
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, target, strings.NewReader(form.Encode()))
	must(p.t, err)
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := p.http.Do(r)
	must(p.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(p.t, err)
	return Answer{res, string(text)}
}

func navigation() map[string]string {
	return map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Accept-Language": "en"}
}

// Navigate opens a page, and goes where it leads.
func (p *Person) Navigate(target string) Answer {
	p.t.Helper()
	return p.do(http.MethodGet, target, nil, navigation())
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
	return p.do(http.MethodPost, to.String(), all, navigation())
}

// Fetch is what a page does; headers are names and values in turn.
func (p *Person) Fetch(method, target string, headers ...string) Answer {
	p.t.Helper()
	all := map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
	for i := 0; i+1 < len(headers); i += 2 {
		all[headers[i]] = headers[i+1]
	}
	return p.do(method, target, nil, all)
}

// Login types a name into the provider's page, and ends at a service.
func (p *Person) Login(user string) Answer {
	p.t.Helper()
	return p.Submit(p.Navigate("/bff/login?return_to=/own/1"), p.form(user))
}

// Callback logs in, and stops before the gateway is told of it. Who is logged in at the provider types nothing.
func (p *Person) Callback(user string) *url.URL {
	p.t.Helper()
	p.stop = func(to *url.URL) bool { return to.Path == "/bff/callback" }
	defer func() { p.stop = nil }()
	page := p.Navigate("/bff/login?return_to=/own/1")
	if page.StatusCode == http.StatusOK {
		page = p.Submit(page, p.form(user))
	}
	back, err := page.Location()
	must(p.t, err)
	return back
}

func (p *Person) origin() *url.URL {
	u, err := url.Parse(p.home)
	must(p.t, err)
	return u
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

// Logout logs out as a page does, and returns the address that it is to navigate to.
func (p *Person) Logout() string {
	p.t.Helper()
	var said struct {
		To string `json:"logout_url"`
	}
	must(p.t, json.Unmarshal([]byte(p.Fetch(http.MethodPost, "/bff/logout", "X-CSRF-Token", p.State().CSRF).Text), &said))
	return said.To
}

// Visit is the same person with the same browser, at another origin.
func (p *Person) Visit(origin string) *Person {
	other := *p
	other.home = origin
	return &other
}

// At makes the next requests come to that gateway.
func (p *Person) At(g *gatewaytest.Gateway) *Person {
	p.w.Front.Lead(g.Front)
	p.http.CloseIdleConnections()
	return p
}

// Claims are what a service of the suite says of the token that it got.
func (a Answer) Claims(t testing.TB) (claims map[string]any) {
	t.Helper()
	if a.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %.300s", a.Request.URL, a.Status, a.Text)
	}
	must(t, json.Unmarshal([]byte(a.Text), &claims))
	return claims
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
