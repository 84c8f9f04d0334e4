package chromium_test

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// sessionCookie is the one that the browser has, which no script sees.
func (b *tab) sessionCookie() string {
	b.t.Helper()
	all, err := storage.GetCookies().WithBrowserContextID(b.profile).Do(cdp.WithExecutor(b.browser, chromedp.FromContext(b.browser).Browser))
	must(b.t, err)
	for _, c := range all {
		if c.Name == "__Host-Http-ic" {
			return c.Value
		}
	}
	return ""
}

// serves reports what somebody gets who has kept a session cookie.
func (w *world) serves(t *testing.T, cookie string) int {
	t.Helper()
	return w.Person(t).Fetch(http.MethodGet, "/deep/page", "Cookie: __Host-Http-ic="+cookie).StatusCode
}

// TestLoginOverAnother: it takes the place of the session before, also where the provider is on another site and no Strict
// cookie comes back with the browser; so the next user's logout leaves nobody behind.
func TestLoginOverAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{provider: foreignID})
	alice := w.person(t)
	alice.login("alice")
	second := alice.another()
	second.open(w.Origin() + "/")
	second.is("alice")
	before := alice.sessionCookie()
	if status := w.serves(t, before); status != http.StatusOK {
		t.Fatalf("alice's cookie: %d", status)
	}
	alice.js(`(intercom.login({ prompt: 'login' }), 0)`, new(int))
	alice.credentials("bob")
	alice.is("bob")
	if status := w.serves(t, before); status != http.StatusUnauthorized {
		t.Errorf("alice's cookie, after bob's login: %d", status)
	}
	second.until("her other tab hears of it", `heard.length > 0`)
	second.is("bob")
}

// TestOvertakenTab: a login that another tab was faster with leads where it was to lead.
func TestOvertakenTab(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{provider: foreignID})
	slow := w.person(t)
	slow.open(w.Origin() + "/deep/slow")
	slow.see("#password")
	fast := slow.another()
	for range 8 { // which is as many as a browser may have under way
		fast.open(w.Origin() + "/deep/fast")
		fast.see("#password")
	}
	fast.credentials("alice")
	fast.until("the fast one's page", `location.pathname == '/deep/fast'`)
	slow.credentials("alice")
	slow.until("the slow one's page", `location.pathname == '/deep/slow' && document.title == 'deep'`)
}

// TestLogoutLinkElsewhere: a link on another site is followed without the Strict cookie, and that does not mean that nobody
// is logged in.
func TestLogoutLinkElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var link string
	alice.js(`intercom.session().then(s => s.logout_url)`, &link)
	alice.open(w.pages.put(mail, "/", `<a id="bare" href="`+w.Origin()+`/bff/logout">out</a> <a id="link" href="`+link+`">out</a>`))
	alice.click("#bare")
	alice.until("the question", `document.title == 'Sign out?'`)
	alice.open(w.pages.origin(mail) + "/")
	alice.click("#link")
	alice.is("nobody")
	alice.click("#login")
	alice.see("#password") // the provider was told too
}
