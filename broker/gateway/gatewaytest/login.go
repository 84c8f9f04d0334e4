package gatewaytest

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// Login logs in at a provider of ours, step by step, and stops before the page that it leads to. The password is the name.
func (p *Person) Login(name string) {
	p.t.Helper()
	const page = "/orders/1"
	browser := *p.HTTP
	steps := *p
	steps.HTTP = &browser
	steps.StopBefore(Everywhere)
	begun := steps.Navigate("/bff/login?return_to=" + page)
	if begun.StatusCode != http.StatusFound {
		p.t.Fatalf("login: %s %.300s", begun.Status, begun.Text)
	}
	back := p.IDP.Login(begun.Header.Get("Location"), name)
	if res := steps.Navigate("/bff/callback?" + back.Encode()); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != page {
		p.t.Fatalf("callback: %s %v %.300s", res.Status, res.Header, res.Text)
	}
}

// Logout logs out as a page does, and returns the address that it is to navigate to; empty means that nobody was logged in.
func (p *Person) Logout() string {
	p.t.Helper()
	out := p.Fetch(http.MethodPost, "/bff/logout", p.CSRF())
	var said struct {
		To string `json:"logout_url"`
	}
	if err := json.Unmarshal([]byte(out.Text), &said); err != nil || out.StatusCode != http.StatusOK {
		p.t.Fatalf("logout: %s %.300s", out.Status, out.Text)
	}
	return said.To
}

// LogsOut logs out here and at the provider, which leads back, and tests that nobody is logged in any more at either. confirm
// answers what the provider asks; nil means that it asks nothing.
func (p *Person) LogsOut(confirm func(asked Answer) Answer) {
	p.t.Helper()
	back := p.Navigate(p.Logout())
	if confirm != nil {
		back = confirm(back)
	}
	if back.Request.URL.String() != p.Home+"/" { // where nothing needs to be
		p.t.Errorf("the provider leads to %s: %s %.300s", back.Request.URL, back.Status, back.Text)
	}
	if p.State().Authenticated {
		p.t.Error("somebody is still logged in here")
	}
	if form := p.Navigate("/bff/login"); !strings.Contains(form.Text, `name="password"`) {
		p.t.Errorf("somebody is still logged in at the provider: %s", form.Request.URL)
	}
}

// CSRF is the header without which a request that changes something is refused, with the token that /bff/session says.
func (p *Person) CSRF() string {
	p.t.Helper()
	return bff.HeaderCSRF + ": " + p.State().CSRF
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
	return p.Post(to.String(), all, Navigation()...)
}
