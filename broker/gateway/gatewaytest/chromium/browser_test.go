package chromium_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// TestBackAfterLogout: the button for back shows nobody what was there before.
func TestBackAfterLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.open(w.Origin() + "/deep/page")
	alice.open(w.Origin() + "/")
	alice.click("#logout")
	alice.is("nobody")
	alice.js(`(history.go(-2), 0)`, new(int))
	alice.until("the login", `location.hostname == '`+id+`' && document.getElementById('password')`)
	if n := w.service.called("GET", "/deep/page"); n != 1 {
		t.Errorf("the page was served %d times", n)
	}
}

// TestLogoutByForm: a page without scripts logs out by a form, at both ends.
func TestLogoutByForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.js(`intercom.session().then(s => {
		document.body.insertAdjacentHTML('beforeend', '<form method="post" action="/bff/logout"><input name="csrf_token" value="' + s.csrf_token + '"><button id="out">out</button></form>')
		return 0
	})`, new(int))
	alice.click("#out")
	alice.is("nobody")
	alice.click("#login")
	alice.see("#password")
}

// TestModuleOnASibling: a page of the portal takes the module from the gateway, logs in and comes back, calls, hears of the
// end, and logs out.
func TestModuleOnASibling(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	address := w.pages.put(portal, "/", replace(appPage, "/bff/intercom.js", w.Origin()+"/bff/intercom.js"))
	known := `document.getElementById('who')?.textContent == 'alice' && location.href == '` + address + `'`
	alice.open(address)
	alice.click("#login")
	alice.credentials("alice")
	alice.until("the portal knows her", known)
	var answer string
	for _, at := range []string{w.Origin(), ""} {
		alice.js(`intercom.fetch('`+at+`/deep/orders', { method: 'POST' }).then(r => r.text())`, &answer)
		if answer != "ordered" {
			t.Errorf("the portal orders at %q: %q", at, answer)
		}
	}
	if got := alice.call(`intercom.fetch(location.href)`); !strings.HasPrefix(got, "TypeError") {
		t.Errorf("the portal itself: %s", got)
	}
	began := time.Now()
	w.idp.EndSession(t.Context(), "alice")
	if _, took := alice.hears("ended", began); took > soon() {
		t.Errorf("after %s", took)
	}
	alice.click("#login")
	alice.credentials("alice")
	alice.until("the portal knows her again", known)
	w.pages.put(portal, "/bye", "")
	alice.js(`intercom.logout({ returnTo: '/bye' })`, nil)
	alice.until("the portal's page", `location.href == '`+w.pages.origin(portal)+`/bye'`)
	alice.open(w.Origin() + "/")
	alice.is("nobody")
	alice.click("#login")
	alice.see("#password")
}

// binding is the name of a cookie that ties a login to the browser, and what such a name begins with.
var binding = regexp.MustCompile(`^(__Host-Http-ic-tx)-[0-9a-f]{8}$`)

// TestCookies: what the browser keeps of the gateway's, and that no sibling can put one in its place.
func TestCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.open(w.pages.put(evil, "/", `<script>
		for (const name of ['__Host-Http-ic', '__Host-Http-ic-tx-0', '__Host-ic']) document.cookie = name + '=' + 'A'.repeat(43) + '; Domain=intercom.test; Path=/; Secure'
		document.cookie = 'tossed=1; Domain=intercom.test; Path=/; Secure'
	</script>`))
	alice.login("alice")
	all, err := storage.GetCookies().WithBrowserContextID(alice.profile).Do(cdp.WithExecutor(alice.browser, chromedp.FromContext(alice.browser).Browser))
	must(t, err)
	found := map[string]*network.Cookie{}
	for _, c := range all {
		found[c.Domain+" "+binding.ReplaceAllString(c.Name, "$1")] = c
	}
	for name, want := range map[string]network.Cookie{
		app + " __Host-Http-ic":    {SameSite: network.CookieSameSiteStrict, Session: true},
		app + " __Host-Http-ic-tx": {SameSite: network.CookieSameSiteLax},
	} {
		c := found[name]
		if c == nil || !c.Secure || !c.HTTPOnly || c.Path != "/" || c.SameSite != want.SameSite || c.Session != want.Session {
			t.Errorf("%s: %+v", name, c)
		}
		delete(found, name)
	}
	for name := range found {
		if name != id+" intercom-openid-sso" && name != ".intercom.test tossed" {
			t.Errorf("a cookie %s", name)
		}
	}
	if found[".intercom.test tossed"] == nil {
		t.Error("the sibling sets no cookie at all: this test says nothing")
	}
}

// TestPrefetchEndsNothing: a page that lets the browser load its links ahead, as some frameworks do by themselves, logs
// nobody out.
func TestPrefetchEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.js(`intercom.session().then(s => {
		const rules = document.createElement('script')
		rules.type = 'speculationrules'
		rules.textContent = JSON.stringify({ prefetch: [{ urls: [s.logout_url, s.logout_url.replace(/logout.*/, 'login'), '/deep/ahead'], eagerness: 'immediate' }] })
		document.body.insertAdjacentHTML('beforeend', '<a id="out" href="' + s.logout_url + '">out</a>')
		document.body.append(rules)
		return 0
	})`, new(int))
	gatewaytest.Eventually(t, "the browser loads ahead", func() bool { return w.service.called("GET", "/deep/ahead") > 0 })
	alice.js(`new Promise(done => setTimeout(() => done(0), 500))`, new(int)) // it has begun with the others too
	second := alice.another()
	second.open(w.Origin() + "/")
	second.is("alice")
	alice.click("#out") // and now it is meant
	alice.is("nobody")
}
