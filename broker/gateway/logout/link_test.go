package logout_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/bff"
	"github.com/intercom-broker/intercom/broker/gateway/logout"
	"github.com/intercom-broker/intercom/broker/gateway/provider/providertest"
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

// TestLongWayBack: what no cookie holds is not put into one, which a browser would drop whole.
func TestLongWayBack(t *testing.T) {
	b := newWorld(t, nil).tab(t)
	res := b.Do("POST", "/bff/logout", "csrf_token="+b.csrf(t)+"&return_to=/"+strings.Repeat("a", 4000), append(navigate, "Origin: https://icom.test")...)
	to, err := url.Parse(res.Header.Get("Location"))
	must(t, err)
	for _, line := range res.Header["Set-Cookie"] {
		if len(line) > 4096 {
			t.Errorf("%d bytes of a cookie", len(line))
		}
	}
	if res := b.Do("GET", "/bff/logout/return?state="+to.Query().Get("state"), "", navigate...); res.Header.Get("Location") != "/" {
		t.Errorf("it leads to %.100q", res.Header.Get("Location"))
	}
}

// TestPeopleAreAsked: that no Strict cookie comes from another site does not mean that nobody is logged in; nor is a person shown what
// is for scripts.
func TestPeopleAreAsked(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	link := "/bff/logout?sid=" + w.PublicName(id)
	kept := b.Cookies
	b.Cookies = map[string]*http.Cookie{}
	if text := read(t, b.Do("GET", link, "", elsewhere...)); !strings.Contains(text, link) || strings.Contains(text, "signed out") {
		t.Errorf("a link: %s", text)
	}
	form := b.Do("POST", "/bff/logout", "return_to=/bye", elsewhere...)
	if to := form.Header.Get("Location"); form.StatusCode != http.StatusSeeOther || to != "/bff/logout?return_to=%2Fbye" {
		t.Errorf("a form: %d to %q", form.StatusCode, to)
	}
	b.Cookies = kept
	text := read(t, b.Do("GET", form.Header.Get("Location"), "", navigate...))
	if again := strings.ReplaceAll(link+"&", "?", "?return_to=%2Fbye&"); !strings.Contains(text, strings.TrimSuffix(html.EscapeString(again), "&amp;")) || strings.Contains(text, "earlier") {
		t.Errorf("the question: %s", text)
	}
	if text := read(t, b.Do("POST", "/bff/logout", "csrf_token=stale", append(navigate, "Origin: https://icom.test")...)); !strings.Contains(text, "Do you want to sign out?") {
		t.Errorf("a stale form: %s", text)
	}
	if !w.alive(t, id) {
		t.Error("nobody has said yes")
	}
}

// TestTooManyCookies: who cannot be known is not told that he is logged out, since he is not.
func TestTooManyCookies(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	token := bff.HeaderCSRF + ": " + b.csrf(t)
	b.Cookies["many"] = &http.Cookie{Name: "many", Value: strings.Repeat("x", 8<<10)}
	for name, res := range map[string]*http.Response{
		"a link":   b.Do("GET", "/bff/logout?sid="+w.PublicName(id), "", navigate...),
		"a form":   b.Do("POST", "/bff/logout", "a=b", append(navigate, "Origin: https://icom.test")...),
		"a script": b.Do("POST", "/bff/logout", "", append(script, token)...),
	} {
		if text := read(t, res); res.StatusCode < 400 || !strings.Contains(text, logout.ReasonCrowded) {
			t.Errorf("%s: %d %s", name, res.StatusCode, text)
		}
	}
	if !w.alive(t, id) {
		t.Error("it is over")
	}
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	return string(text)
}

// TestPagesOfOthers: a page of a listed origin logs out and reads where to go; one of another is told nothing, and ends
// nothing.
func TestPagesOfOthers(t *testing.T) {
	w := newWorld(t, nil)
	b := w.tab(t)
	id := b.id(t)
	for origin, want := range map[string]string{"https://evil.test": "", "null": "", "https://app.test": "https://app.test"} {
		asked := b.Do("OPTIONS", "/bff/logout", "", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-csrf-token")
		if h := asked.Header; asked.StatusCode != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != want ||
			h.Get("Access-Control-Allow-Methods") != methodsFor(want) {
			t.Errorf("%s asks: %d %v", origin, asked.StatusCode, h)
		}
		res := b.Do("POST", "/bff/logout", "", append(providertest.Fetch(origin), bff.HeaderCSRF+": guess")...)
		if res.StatusCode != http.StatusForbidden || res.Header.Get("Access-Control-Allow-Origin") != want || !w.alive(t, id) {
			t.Errorf("%s guesses: %d %v", origin, res.StatusCode, res.Header)
		}
	}
	token := bff.HeaderCSRF + ": " + b.csrf(t)
	if res := b.Do("POST", "/bff/logout", "", append(providertest.Fetch("https://evil.test"), token)...); res.StatusCode != http.StatusForbidden || !w.alive(t, id) {
		t.Errorf("another origin, with the token: %d", res.StatusCode)
	}
	res := b.Do("POST", "/bff/logout", "", append(providertest.Fetch("https://app.test"), token)...)
	if res.StatusCode != http.StatusOK || res.Header.Get("Access-Control-Allow-Credentials") != "true" || w.alive(t, id) {
		t.Errorf("a listed one: %d %v", res.StatusCode, res.Header)
	}
}

func methodsFor(allowed string) string {
	if allowed == "" {
		return ""
	}
	return http.MethodPost
}
