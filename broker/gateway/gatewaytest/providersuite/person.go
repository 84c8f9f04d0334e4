package providersuite

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// Person is one of gatewaytest's, who knows the provider's page.
type Person struct {
	*gatewaytest.Person

	t *testing.T
	// stop ends the following of redirects before such an address; nil means never.
	stop func(*url.URL) bool
	form func(user string) url.Values
}

// Answer is what came back, whole.
type Answer = gatewaytest.Answer

func newPerson(t *testing.T, w *gatewaytest.World, form func(string) url.Values) *Person {
	p := &Person{Person: w.Person(t), t: t, form: form}
	p.HTTP.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if p.stop != nil && p.stop(r.URL) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return p
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
	u, err := url.Parse(p.Home)
	must(p.t, err)
	return u
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
	other.Person = p.Person.Visit(origin)
	return &other
}

// At makes the next requests come to that gateway.
func (p *Person) At(g *gatewaytest.Gateway) *Person {
	p.Person.At(g)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
