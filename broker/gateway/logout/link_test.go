package logout_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
)

// TestFromAnotherSite: a Strict cookie does not come along from there, so nobody is told that he is logged out before he is asked
// for from here.
func TestFromAnotherSite(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id, cookie := b.id(t), b.Cookies["__Host-Http-ic"]
	delete(b.Cookies, "__Host-Http-ic")
	foreign := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site", "Origin: https://evil.test"}
	res := b.Do("POST", "/bff/logout", "a=b", foreign...)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/bff/logout" {
		t.Fatalf("a form: %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	res = b.Do("GET", res.Header.Get("Location"), "", foreign[:3]...)
	text, err := io.ReadAll(res.Body)
	if must(t, err); res.StatusCode != http.StatusOK || !strings.Contains(string(text), "One moment") || strings.Contains(string(text), "signed out") {
		t.Errorf("a link: %d %s", res.StatusCode, text)
	}
	b.Cookies["__Host-Http-ic"] = cookie
	if res := b.Do("GET", "/bff/logout", "", navigate...); res.StatusCode != http.StatusForbidden || !w.alive(t, id) {
		t.Errorf("once more, from here: %d", res.StatusCode)
	}
}

// TestWithoutFetchMetadata: a browser that does not say what it does is led on where it navigates, as far as can be seen.
func TestWithoutFetchMetadata(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	if res := b.Do("GET", "/bff/logout?sid="+w.PublicName(b.id(t)), ""); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a link: %d %v", res.StatusCode, res.Header)
	}
	b = w.tab(t)
	if res := b.Do("POST", "/bff/logout", "csrf_token="+b.csrf(t), "Accept: text/html,*/*;q=0.8"); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a form: %d %v", res.StatusCode, res.Header)
	}
	b = w.tab(t)
	if res := b.Do("POST", "/bff/logout", "", "Accept: */*", bff.HeaderCSRF+": "+b.csrf(t)); res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a script: %d %v", res.StatusCode, res.Header)
	}
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestBodyOfALink: a form without end is read by nobody, nor kept on a disk, whichever method carries it.
func TestBodyOfALink(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	part := "--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a\"\r\n\r\n"
	body := &counted{Reader: io.MultiReader(strings.NewReader(part), strings.NewReader(strings.Repeat("x", 1<<20)), strings.NewReader("\r\n--x--\r\n"))}
	r := httptest.NewRequest(http.MethodGet, "https://icom.test/bff/logout?sid="+w.PublicName(b.id(t)), body)
	r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	r.AddCookie(b.Cookies["__Host-Http-ic"])
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	if rec.Code != http.StatusSeeOther || body.n > 64<<10 {
		t.Errorf("%d, %d bytes were read", rec.Code, body.n)
	}
}
