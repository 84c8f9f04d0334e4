package providertest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Browser is what a person sits at: it keeps the provider's cookies and stops where the provider sends it
// back to the client.
type Browser struct {
	t      testing.TB
	issuer string
	http   *http.Client
	hidden *regexp.Regexp
}

// Browser returns a new one, without cookies.
func (s *Server) Browser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t, issuer: s.Issuer(), hidden: regexp.MustCompile(`name="request" value="([^"]*)"`)}
	b.http = &http.Client{Transport: s.Client().Transport, Jar: jar, CheckRedirect: b.stay}
	return b
}

// stay follows redirects at the provider only.
func (b *Browser) stay(r *http.Request, _ []*http.Request) error {
	if strings.HasPrefix(r.URL.String(), b.issuer) {
		return nil
	}
	return http.ErrUseLastResponse
}

// Page is what the browser ended at.
type Page struct {
	// Status and Header are those of the answer.
	Status int
	Header http.Header
	// Text is its body.
	Text string
}

// Location returns where the page sends the browser; nil means nowhere.
func (p Page) Location() *url.URL {
	target, err := url.Parse(p.Header.Get("Location"))
	if err != nil || target.Host == "" {
		return nil
	}
	return target
}

// Login opens address, types name and password (which is the name) into the login page as often as one
// comes, and returns the query with which the provider sends the browser back.
func (b *Browser) Login(address, name string) url.Values {
	b.t.Helper()
	page := b.Open(address)
	for range 3 {
		field := b.hidden.FindStringSubmatch(page.Text)
		if field == nil {
			break
		}
		form := url.Values{"request": {field[1]}, "username": {name}, "password": {name}}
		page = b.send(http.MethodPost, b.issuer+"/login", form.Encode())
	}
	return b.query(page)
}

// Visit opens address and returns the query with which the provider sends the browser back at once.
func (b *Browser) Visit(address string) url.Values {
	b.t.Helper()
	return b.query(b.Open(address))
}

// Open opens address.
func (b *Browser) Open(address string) Page {
	b.t.Helper()
	return b.send(http.MethodGet, address, "")
}

func (b *Browser) send(method, address, form string) Page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{resp.StatusCode, resp.Header, string(body)}
}

func (b *Browser) query(page Page) url.Values {
	b.t.Helper()
	target := page.Location()
	if target == nil {
		b.t.Fatalf("the provider sends nobody back: %d\n%s", page.Status, page.Text)
	}
	return target.Query()
}
