package chromium_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/intercom-broker/intercom/broker/embedded/openid"
	"github.com/intercom-broker/intercom/broker/gateway/page"
	"github.com/intercom-broker/intercom/deploy/stack"
)

// screenshots is where pictures go, for people to look at; git does not keep them.
const screenshots = "screenshots"

// look is how a page is looked at.
type look struct {
	language      string
	width, height int64
	scheme        string
}

func looks() []look {
	return []look{{"de-DE", 360, 640, "light"}, {"de-DE", 1280, 720, "dark"}, {"en-GB", 360, 640, "dark"}, {"en-GB", 1280, 720, "light"}}
}

func (l look) String() string {
	return l.language[:2] + "-" + strconv.FormatInt(l.width, 10) + "-" + l.scheme
}

// put makes the tab be of that sort.
func (l look) put(b *tab) {
	b.t.Helper()
	b.do("look as "+l.String(), chromedp.EmulateViewport(l.width, l.height), emulation.SetUserAgentOverride("Chromium").WithAcceptLanguage(l.language),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}))
}

// picture keeps what the tab shows.
func (b *tab) picture(name string) {
	b.t.Helper()
	var png []byte
	b.do("take a picture", chromedp.CaptureScreenshot(&png))
	must(b.t, os.MkdirAll(screenshots, 0o700))
	must(b.t, os.WriteFile(filepath.Join(screenshots, name+".png"), png, 0o600))
}

// readable is what every page of ours is, whatever it says.
const readable = `(() => {
	const faults = [], root = document.documentElement, seen = e => getComputedStyle(e)
	if (root.scrollWidth > innerWidth) faults.push('wider than the window')
	if (root.lang != LANGUAGE) faults.push('it says that its language is ' + root.lang)
	if (!document.title || document.querySelectorAll('h1').length != 1) faults.push('no title, or not one heading')
	const light = c => { const [r, g, b] = c.match(/[\d.]+/g).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b }
	const paper = light(seen(document.querySelector('main')).backgroundColor)
	for (const e of document.querySelectorAll('h1, p, code, a')) {
		const ink = light(seen(e).color), contrast = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05)
		if (contrast < 4.5) faults.push(e.tagName + ' has a contrast of ' + contrast.toFixed(1))
		if (e.matches('a') && e.getBoundingClientRect().height < 24) faults.push('a link that no finger hits')
	}
	return faults.join(', ')
})()`

// TestPagesAreReadable: each page of the gateway's own, on a small and a large screen, by day and by night, in both
// languages (WCAG 2.2, 1.4.3, 1.4.10, 2.5.8 and 3.1.1).
func TestPagesAreReadable(t *testing.T) {
	t.Parallel()
	w := &world{browser: stack.Chromium(t)}
	pages, err := page.New(nil)
	must(t, err)
	all := map[string]func(http.ResponseWriter, *http.Request){
		"again": pages.Again,
		"other": func(w http.ResponseWriter, r *http.Request) {
			pages.Problem(w, r, http.StatusBadRequest, "login_other_browser", "/bff/login")
		},
		"provider": func(w http.ResponseWriter, r *http.Request) {
			pages.Problem(w, r, http.StatusServiceUnavailable, "provider_unavailable", "/bff/login")
		},
		"nologin": func(w http.ResponseWriter, r *http.Request) {
			pages.NoLogin(w, r, "provider_unavailable", "/bff/login")
		},
		"denied": func(w http.ResponseWriter, r *http.Request) {
			pages.Refused(w, r, http.StatusForbidden, "policy_denied", "/")
		},
		"missing": func(w http.ResponseWriter, r *http.Request) {
			pages.Refused(w, r, http.StatusNotFound, "route_unknown", "/")
		},
		"unavailable": func(w http.ResponseWriter, r *http.Request) {
			pages.Refused(w, r, http.StatusBadGateway, "upstream_unreachable", "/")
		},
		"bad": func(w http.ResponseWriter, r *http.Request) {
			pages.Refused(w, r, http.StatusBadRequest, "request_refused", "/")
		},
		"crowded": func(w http.ResponseWriter, r *http.Request) {
			pages.Crowded(w, r, "login_cookies_too_large", "/bff/login")
		},
		"unsent": func(w http.ResponseWriter, r *http.Request) {
			pages.Unsent(w, r, http.StatusUnauthorized, "session_expired", "/bff/login")
		},
		"signout": func(w http.ResponseWriter, r *http.Request) {
			pages.SignOut(w, r, "/bff/logout?sid=x", "/", true)
		},
		"out":      func(w http.ResponseWriter, r *http.Request) { pages.LoggedOut(w, r, "/", false) },
		"out-here": func(w http.ResponseWriter, r *http.Request) { pages.LoggedOut(w, r, "/", true) },
	}
	mux := http.NewServeMux()
	for name, show := range all {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) { show(still{w}, r) })
	}
	server := serve(t, w.browser.Authority, mux, app)
	b := w.person(t)
	for _, l := range looks() {
		l.put(b)
		for name := range all {
			b.open(at(server, app) + "/" + name)
			b.picture(name + "-" + l.String())
			var faults string
			b.js(replace(readable, "LANGUAGE", strconv.Quote(l.language[:2])), &faults)
			if faults != "" {
				t.Errorf("%s as %s: %s", name, l, faults)
			}
		}
	}
}

// still keeps a page that leads on from doing so.
type still struct{ http.ResponseWriter }

func (s still) WriteHeader(status int) {
	policy, _, _ := strings.Cut(s.Header().Get("Content-Security-Policy"), "; script-src")
	s.Header().Set("Content-Security-Policy", policy)
	s.ResponseWriter.WriteHeader(status)
}

// TestPeopleAreTold why a page does not open, by the gateway itself.
func TestPeopleAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	nobody, bob := w.person(t), w.person(t)
	nobody.told("login_unknown", w.Origin()+"/bff/callback?state=unheard")
	bob.login("bob")
	bob.told("policy_denied", w.Origin()+"/deep/page")
	bob.open(w.idp.Provider.URL(openid.PathLogout))
	bob.see("form button")
	bob.picture("provider-logout")
	bob.click("form button")
	bob.until("the provider says so", `document.title == 'You are logged out'`)
	bob.open(w.Origin() + "/deep/page") // the session here is over too
	bob.see("#password")
	bob.picture("provider-login")
}

// TestTryAgain: when the provider answers again, the button leads to where the login was to lead.
func TestTryAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.idp.down.Store(true)
	alice := w.person(t)
	alice.open(w.Origin() + "/deep/page?a=b")
	alice.credentials("alice")
	alice.until("she is told", `document.querySelector('code')?.textContent == 'provider_unavailable'`)
	alice.picture("told-provider")
	w.idp.down.Store(false)
	// For two seconds more the gateway thinks that nobody is there, and says so again.
	alice.until("trying again helps", `document.title == 'deep' && location.search == '?a=b' ||
		!window.tried && document.querySelector('a.act') && (window.tried = true, document.querySelector('a.act').click())`)
}

// told opens a page, and is shown that code instead.
func (b *tab) told(code, address string) {
	b.t.Helper()
	b.open(address)
	b.until(code, `document.querySelector('code')?.textContent == '`+code+`'`)
	b.picture("told-" + code)
}
