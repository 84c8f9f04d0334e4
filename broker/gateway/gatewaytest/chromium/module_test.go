package chromium_test

import (
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// call is what a page's call came to: its status, or why there is none.
func (b *tab) call(expression string) (status string) {
	b.t.Helper()
	b.js(expression+`.then(r => String(r.status), String)`, &status)
	return status
}

// deafen keeps every other tab of the person from having the stream of events, and so from hearing what happens.
func (b *tab) deafen() {
	b.t.Helper()
	b.open(b.w.Origin() + "/deep/page")
	b.js(`new Promise(held => navigator.locks.request('intercom ' + location.origin + '/bff/', () => { held(0); return new Promise(() => {}) }))`, new(int))
}

// acts lets a page do all that needs the session's token.
func (b *tab) acts() {
	b.t.Helper()
	order := `new Request('/deep/orders', { method: 'POST', body: 'two' })`
	for _, call := range []string{
		`intercom.fetch('/deep/orders', { method: 'POST', body: 'one' })`, `intercom.fetch(` + order + `)`, `intercom.fetch('/deep/orders', { method: 'POST' })`,
	} {
		if got := b.call(call); got != "200" {
			b.t.Errorf("%s: %s", call, got)
		}
	}
	if got := b.call(`intercom.touch()`); got != "204" {
		b.t.Errorf("touch: %s", got)
	}
}

// TestModuleAfterANewLogin: a tab that has heard of a logout and of the next login goes on with that one.
func TestModuleAfterANewLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	first := w.person(t)
	first.login("alice")
	second := first.another()
	second.open(w.Origin() + "/quiet")
	second.js(`intercom.session().then(() => 0)`, new(int))
	first.click("#logout")
	second.hears("ended", time.Now())
	first.is("nobody")
	first.login("alice")
	second.hears("refreshed", time.Now())
	second.acts()
	second.js(`intercom.logout()`, nil)
	second.is("nobody")
}

// TestModuleHearsNothing: what a tab sends to which nobody says that the session is another does not arrive. It hears of that
// then, and goes on; and its logout ends that session.
func TestModuleHearsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	third := alice.another()
	alice.open(w.Origin() + "/deep/page")
	third.deafen()
	other := alice.another()
	for act, want := range map[string]string{
		`intercom.fetch('/deep/orders', { method: 'POST', body: new Blob(['three']).stream(), duplex: 'half' })`: "200",
		`intercom.fetch(new Request('/deep/orders', { method: 'POST', body: 'two' }))`:                           "200",
		`intercom.touch()`: "204",
	} {
		alice.open(w.Origin() + "/")
		alice.is("alice")
		other.loginElsewhere("alice")
		before := w.service.called("POST", "/deep/orders")
		if got := alice.call(act); got != "403" || w.service.called("POST", "/deep/orders") != before {
			t.Errorf("%s for the session that was: %s", act, got)
		}
		alice.hears("refreshed", time.Now())
		if got := alice.call(act); got != want {
			t.Errorf("%s: %s", act, got)
		}
		if alice.heard("ended") {
			t.Error("she has not gone, says the page")
		}
	}
}

// TestModuleWhenAnotherComes: what alice has typed is not sent as bob, who has logged in at her browser; her tab is told that
// she has gone, and that somebody came, when it asks and when a tab of his does.
func TestModuleWhenAnotherComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{provider: foreignID}) // the gateway does not see her session in his login
	alice := w.person(t)
	alice.login("alice")
	third, bob := alice.another(), alice.another()
	alice.open(w.Origin() + "/deep/page")
	third.deafen()
	alice.open(w.Origin() + "/")
	alice.is("alice")
	bob.loginElsewhere("bob")
	if got := alice.call(`intercom.fetch('/orders', { method: 'POST', body: 'of alice' })`); got != "403" || w.service.called("POST", "/orders") != 0 {
		t.Errorf("%s, and the service was called %d times", got, w.service.called("POST", "/orders"))
	}
	alice.hears("ended", time.Now())
	alice.hears("refreshed", time.Now())
	alice.is("bob")
	if got := alice.call(`intercom.fetch('/orders', { method: 'POST', body: 'of bob' })`); got != "200" {
		t.Errorf("as bob: %s", got)
	}
	bob.open(w.Origin() + "/")
	bob.is("bob")
	alice.js(`(heard.length = 0, 0)`, new(int))
	bob.js(`intercom.login({ prompt: 'login' })`, nil)
	bob.credentials("alice")
	bob.is("alice")
	alice.hears("ended", time.Now())
	alice.hears("refreshed", time.Now())
	alice.is("alice")
}

// loginElsewhere logs somebody in by a page that does not know the module.
func (b *tab) loginElsewhere(name string) {
	b.t.Helper()
	b.open(b.w.Origin() + "/bff/login?prompt=login&return_to=/deep/page")
	b.credentials(name)
	b.until("the next session", `location.pathname == '/deep/page'`)
}

// heard reports whether the page was told of an event.
func (b *tab) heard(event string) (told bool) {
	b.t.Helper()
	b.js(`heard.some(h => h.event == '`+event+`')`, &told)
	return told
}

// TestModuleElsewhere: it works in a worker, and resolves addresses as the page does, whose base may be another.
func TestModuleElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var answer string
	alice.js(`new Promise(done => {
		const text = "import('" + location.origin + "/bff/intercom.js').then(m => m.fetch('/deep/orders', { method: 'POST' })).then(r => r.text()).then(postMessage, e => postMessage(String(e)))"
		new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })), { type: 'module' }).onmessage = e => done(e.data)
	})`, &answer)
	if answer != "ordered" {
		t.Errorf("a worker orders: %q", answer)
	}
	for base, want := range map[string]string{"/deep/": "/deep/page", "https://" + foreignEvil + "/": "/page"} {
		alice.js(`(document.querySelector('base')?.remove(), document.head.insertAdjacentHTML('beforeend', '<base href="`+base+`">'),
			intercom.fetch('page').then(r => r.url, String))`, &answer)
		if answer != w.Origin()+want {
			t.Errorf("below %s: %s", base, answer)
		}
	}
	alice.js(`new Promise(done => { try { intercom.on('end', () => 0) } catch (e) { done(e.message) } })`, &answer)
	if answer != "no event end" {
		t.Errorf("a slip of the pen: %q", answer)
	}
}

// TestServicesOwnRefusal: a service that answers 401 by itself ends nothing; the gateway's 401 does, where there is no text
// to read the reason from, too.
func TestServicesOwnRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	third := alice.another()
	alice.open(w.Origin() + "/deep/page")
	third.deafen()
	alice.open(w.Origin() + "/")
	alice.is("alice")
	for _, method := range []string{"GET", "HEAD"} {
		if got := alice.call(`intercom.fetch('/deep/unauthorized', { method: '` + method + `' })`); got != "401" {
			t.Errorf("%s: %s", method, got)
		}
	}
	var told int
	alice.js(`new Promise(done => setTimeout(() => done(heard.length), 500))`, &told)
	if told != 0 {
		t.Error("it has ended, says the page")
	}
	w.idp.EndSession(t.Context(), "alice")
	began := time.Now()
	if got := alice.call(`intercom.fetch('/deep/page', { method: 'HEAD' })`); got != "401" {
		t.Errorf("after the end: %s", got)
	}
	if h, _ := alice.hears("ended", began); h.Reason != "session_revoked" {
		t.Errorf("%+v", h)
	}
}

// TestListenerAlone: a page that asks for nothing but to be told is told.
func TestListenerAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.open(w.Origin() + "/quiet")
	alice.until("the page follows", `(navigator.locks.query().then(l => window.holding = l.held.length), window.holding == 1)`)
	began := time.Now()
	w.idp.EndSession(t.Context(), "alice")
	alice.hears("ended", began)
}

// TestLogoutLeads where the page says, by way of the provider.
func TestLogoutLeads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.js(`intercom.logout({ returnTo: '/?left' })`, nil)
	alice.until("the page that was named", `location.search == '?left' && document.getElementById('who').textContent == 'nobody'`)
}

// TestLogoutHolds: neither a page that fails at hearing of it nor a second click keeps a logout from the provider.
func TestLogoutHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	left := w.idp.holdLogout()
	// Chromium evaluates nothing for us while the page is on its way: it does all by itself.
	alice.js(`(intercom.on('ended', () => { throw new Error('of the page') }),
		intercom.on('ended', () => { fetch('/heard') }),
		intercom.logout({ returnTo: '/?left' }).then(() => setTimeout(() => intercom.logout({ returnTo: '/?left' }).then(() => fetch('/again')), 200)), 0)`, new(int))
	gatewaytest.Eventually(t, "the other callback was called", func() bool { return w.service.called("GET", "/heard") == 1 })
	gatewaytest.Eventually(t, "she has clicked again", func() bool { return w.service.called("GET", "/again") == 1 })
	close(left)
	alice.until("the page that was named", `location.search == '?left' && document.getElementById('who').textContent == 'nobody'`)
	gatewaytest.Eventually(t, "she is seen to have come by way of the provider", func() bool { return alice.askedFor("/bff/logout/return") > 0 })
	alice.click("#login")
	alice.see("#password")
}
