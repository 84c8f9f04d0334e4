package runbooks_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
)

// person sits at a browser. What it sees is written down.
type person struct {
	*gatewaytest.Person

	t    *testing.T
	w    *world
	name string
}

// person is alice, who is of staff.
func (w *world) person(t *testing.T) *person {
	t.Helper()
	return w.named(t, "alice")
}

func (w *world) named(t *testing.T, name string) *person {
	t.Helper()
	return &person{w.World.Person(t), t, w, name}
}

type answer struct {
	gatewaytest.Answer
	// asked says that a password was typed on the way.
	asked bool
}

// words is an answer as a page of this folder quotes it: status, code and Retry-After of a problem, the text of a page.
func (a answer) words() string {
	var problem struct{ Code, Reason string }
	words := fmt.Sprint(a.StatusCode)
	switch kind := a.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "application/problem+json"):
		_ = json.Unmarshal([]byte(a.Text), &problem)
		words = single(words + " " + problem.Code + " " + problem.Reason)
	case strings.HasPrefix(kind, "text/html"):
		words += " " + text(a.Text)
	default:
		words += " " + strings.TrimSpace(a.Text)
	}
	if after := a.Header.Get("Retry-After"); after != "" {
		words += ", Retry-After: " + after
	}
	return words
}

// text is what a person reads of a page.
func text(page string) string {
	page = regexp.MustCompile(`(?s)<(style|script|title)[^>]*>.*?</(style|script|title)>`).ReplaceAllString(page, "")
	return single(html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")))
}

// opens opens a page, and goes where it leads.
func (p *person) opens(s *seen, path string) answer {
	p.t.Helper()
	got, err := p.Try(http.MethodGet, path, nil, gatewaytest.Navigation()...)
	a := answer{Answer: got}
	if err != nil { // of the provider, to which the page leads
		s.add("page", path+":", "nobody answers:", err.Error())
		return a
	}
	s.add("page", path+":", a.words())
	return a
}

// fetches does what a script of the page does.
func (p *person) fetches(s *seen, path string) answer {
	p.t.Helper()
	a := answer{Answer: p.Fetch(http.MethodGet, path)}
	s.add("fetch", path+":", a.words())
	return a
}

// logsOut does what the page's button does.
func (p *person) logsOut(s *seen) {
	p.t.Helper()
	a := answer{Answer: p.Fetch(http.MethodPost, "/bff/logout", p.CSRF())}
	s.add("the logout:", a.words())
}

// works reports whether a fetch is served.
func (p *person) works(path string) bool {
	return p.fetches(&seen{}, path).StatusCode == http.StatusOK
}

// login opens a page that needs one, and types the name, which is the password too, where it is asked for.
func (p *person) login(s *seen) answer {
	p.t.Helper()
	a := p.opens(s, "/bff/login?return_to=/files/1")
	for range 2 {
		if !strings.Contains(a.Text, `"password"`) {
			break
		}
		a = answer{p.Submit(a.Answer, url.Values{"username": {p.name}, "password": {p.name}}), true}
	}
	s.add("after the login:", a.words())
	return a
}

// loggedIn logs in, and it must work.
func (p *person) loggedIn() *person {
	p.t.Helper()
	if a := p.login(&seen{}); a.StatusCode != http.StatusOK || !strings.Contains(a.Text, `"aud"`) {
		p.t.Fatalf("the login: %s", a.words())
	}
	return p
}

// at has the next requests of all arrive at one of the gateways.
func (p *person) at(n int) *person {
	p.w.Front.Lead(p.w.Gateways[n].Front)
	p.HTTP.CloseIdleConnections()
	return p
}

// listens follows the page's stream of events until its end.
func (p *person) listens(s *seen) (ended <-chan struct{}) {
	p.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p.t.Cleanup(stop)
	res, err := p.HTTP.Do(p.Request(ctx, http.MethodGet, "/bff/events", nil, providertest.Fetch(p.Home)...))
	must(p.t, err)
	if res.StatusCode != http.StatusOK {
		p.t.Fatalf("the stream: %s", res.Status)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer res.Body.Close()
		event := ""
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				s.add("event", event, data)
			}
		}
		s.add("the stream ended")
	}()
	return done
}
