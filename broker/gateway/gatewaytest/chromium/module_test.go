package chromium_test

import (
	"testing"
	"time"
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
	first.login("alice")
	second.hears("refreshed", time.Now())
	second.acts()
	second.js(`intercom.logout()`, nil)
	second.is("nobody")
}

// TestModuleHearsNothing: a tab to which nobody says that the session is another acts all the same, whatever it does first,
// and its logout ends that session.
func TestModuleHearsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	third := alice.another()
	alice.open(w.Origin() + "/deep/page")
	third.deafen()
	other := alice.another()
	stream := `intercom.fetch('/deep/orders', { method: 'POST', body: new Blob(['three']).stream(), duplex: 'half' })`
	for _, act := range []string{
		stream + `.then(r => r.status == 403 ? ` + stream + ` : r)`, // a stream cannot be sent again: the next one goes
		`intercom.fetch('/deep/orders', { method: 'POST', body: 'one' })`, `intercom.fetch('/deep/orders', { method: 'POST' })`,
		`intercom.fetch(new Request('/deep/orders', { method: 'POST', body: 'two' }))`, `intercom.touch()`,
		`intercom.logout().then(() => new Response())`,
	} {
		alice.open(w.Origin() + "/")
		alice.is("alice")
		other.open(w.Origin() + "/bff/login?prompt=login&return_to=/deep/page")
		other.credentials("alice")
		other.until("the next session", `document.title == 'deep'`)
		if got := alice.call(act); got != "200" && got != "204" {
			t.Errorf("%s: %s", act, got)
		}
	}
	alice.is("nobody")
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
