package providertest

import (
	"errors"
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

// Login opens address, types name and password (which is the name) into the login page as often as one
// comes, and returns the query with which the provider sends the browser back.
func (b *Browser) Login(address, name string) url.Values {
	b.t.Helper()
	resp, page := b.Open(address)
	for range 3 {
		field := b.hidden.FindStringSubmatch(page)
		if field == nil {
			break
		}
		resp, page = b.send(b.http.PostForm(b.issuer+"/login", url.Values{"request": {field[1]}, "username": {name}, "password": {name}}))
	}
	return b.query(resp, page)
}

// Visit opens address and returns the query with which the provider sends the browser back at once.
func (b *Browser) Visit(address string) url.Values {
	b.t.Helper()
	return b.query(b.Open(address))
}

// Open opens address, and returns the answer and its text.
func (b *Browser) Open(address string) (*http.Response, string) {
	b.t.Helper()
	return b.send(b.http.Get(address))
}

func (b *Browser) send(resp *http.Response, err error) (*http.Response, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

func (b *Browser) query(resp *http.Response, page string) url.Values {
	b.t.Helper()
	target, err := resp.Location()
	if err != nil {
		b.t.Fatalf("the provider sends nobody back: %s\n%s", resp.Status, page)
	}
	return target.Query()
}
