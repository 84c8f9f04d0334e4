package providersuite

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// Person is one of gatewaytest's, who knows the provider's page.
type Person struct {
	*gatewaytest.Person

	t    *testing.T
	form func(user string) url.Values
}

// Answer is what came back, whole.
type Answer = gatewaytest.Answer

// Login types a name into the provider's page, and ends at a service.
func (p *Person) Login(user string) Answer {
	p.t.Helper()
	return p.Submit(p.Navigate("/bff/login?return_to=/own/1"), p.form(user))
}

// Callback logs in, and stops before the gateway is told of it. Who is logged in at the provider types nothing.
func (p *Person) Callback(user string) *url.URL {
	p.t.Helper()
	p.StopBefore(func(to *url.URL) bool { return to.Path == "/bff/callback" })
	defer p.StopBefore(nil)
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

// Visit is the same person with the same browser, at another origin.
func (p *Person) Visit(origin string) *Person {
	other := *p
	other.Person = p.Person.Visit(origin)
	return &other
}

// At is the same person, whose requests come to that gateway.
func (p *Person) At(g *gatewaytest.Gateway) *Person {
	other := *p
	other.Person = p.Person.At(g)
	return &other
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
