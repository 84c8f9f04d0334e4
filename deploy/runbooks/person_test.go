package runbooks_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// person sits at a browser. What it sees is written down.
type person struct {
	t    *testing.T
	w    *world
	http *http.Client
	name string
}

// person is alice, who is of staff.
func (w *world) person(t *testing.T) *person {
	t.Helper()
	return w.named(t, "alice")
}

func (w *world) named(t *testing.T, name string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	transport := w.Transport(t)
	if w.idp != nil {
		transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(certificateOf(t, w.idp)))
	}
	return &person{t, w, &http.Client{Transport: transport, Jar: jar}, name}
}

type answer struct {
	*http.Response
	text string
	// asked says that a password was typed on the way.
	asked bool
}

// words is an answer as a page of this folder quotes it: status, code and Retry-After of a problem, the text of a page.
func (a answer) words() string {
	var problem struct{ Code, Reason string }
	words := fmt.Sprint(a.StatusCode)
	switch kind := a.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "application/problem+json"):
		_ = json.Unmarshal([]byte(a.text), &problem)
		words = single(words + " " + problem.Code + " " + problem.Reason)
	case strings.HasPrefix(kind, "text/html"):
		words += " " + text(a.text)
	default:
		words += " " + strings.TrimSpace(a.text)
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

func (p *person) try(method, target string, form url.Values, headers map[string]string) (answer, error) {
	p.t.Helper()
	if strings.HasPrefix(target, "/") {
		target = p.w.Origin() + target
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
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{Response: res, text: string(text)}, err
}

func (p *person) do(method, target string, form url.Values, headers map[string]string) answer {
	p.t.Helper()
	a, err := p.try(method, target, form, headers)
	must(p.t, err)
	return a
}

func navigation(language string) map[string]string {
	return map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin", "Accept-Language": language}
}

// opens opens a page, and goes where it leads.
func (p *person) opens(s *seen, path string) answer {
	p.t.Helper()
	a, err := p.try(http.MethodGet, path, nil, navigation("en"))
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
	a := p.do(http.MethodGet, path, nil, map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"})
	s.add("fetch", path+":", a.words())
	return a
}

// works reports whether a fetch is served.
func (p *person) works(path string) bool {
	return p.fetches(&seen{}, path).StatusCode == http.StatusOK
}

// login opens a page that needs one, and types the name, which is the password too, where it is asked for.
func (p *person) login(s *seen) answer {
	p.t.Helper()
	a := p.opens(s, "/bff/login?return_to=/files/1")
	typed := false
	for range 2 {
		form := regexp.MustCompile(`<form[^>]* action="([^"]+)"`).FindStringSubmatch(a.text)
		if form == nil || !strings.Contains(a.text, `"password"`) {
			break
		}
		values := url.Values{"username": {p.name}, "password": {p.name}}
		if hidden := regexp.MustCompile(`name="request" value="([^"]*)"`).FindStringSubmatch(a.text); hidden != nil {
			values.Set("request", hidden[1])
		}
		typed = true
		to, err := a.Request.URL.Parse(html.UnescapeString(form[1]))
		must(p.t, err)
		a = p.do(http.MethodPost, to.String(), values, navigation("en"))
	}
	a.asked = typed
	s.add("after the login:", a.words())
	return a
}

// loggedIn logs in, and it must work.
func (p *person) loggedIn() *person {
	p.t.Helper()
	if a := p.login(&seen{}); a.StatusCode != http.StatusOK || !strings.Contains(a.text, `"aud"`) {
		p.t.Fatalf("the login: %s", a.words())
	}
	return p
}

// at has the next requests of all arrive at one of the gateways.
func (p *person) at(n int) *person {
	p.w.Front.Lead(p.w.Gateways[n].Front)
	p.http.CloseIdleConnections()
	return p
}

// listens follows the page's stream of events until its end.
func (p *person) listens(s *seen) (ended <-chan struct{}) {
	p.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p.t.Cleanup(stop)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.w.Origin()+"/bff/events", nil)
	must(p.t, err)
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := p.http.Do(r)
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
