package chromium_test

import (
	"sync"
	"testing"
	"time"
)

// TestLogin: a person logs in, is known in every tab, and logs out at both ends.
func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var readable string
	alice.js(`document.cookie + Object.keys(localStorage) + Object.keys(sessionStorage)`, &readable)
	if readable != "" {
		t.Errorf("a script can read %s", readable)
	}
	second := alice.another()
	second.open(w.Origin() + "/")
	second.is("alice")
	alice.click("#logout")
	alice.is("nobody")
	alice.click("#login")
	alice.see("#password") // the provider does not know her any more either
}

// TestTwoTabsLogInAtOnce: two login pages are open, both are filled in, and both lead where they were to lead.
func TestTwoTabsLogInAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	first := w.person(t)
	second := first.another()
	tabs := map[*tab]string{first: "/deep/first", second: "/deep/second"}
	for b, path := range tabs {
		b.open(w.Origin() + path)
		b.see("#password")
	}
	var wait sync.WaitGroup
	for b := range tabs {
		wait.Go(func() { b.credentials("alice") })
	}
	wait.Wait()
	for b, path := range tabs {
		b.until("the page that was asked for", `document.title == 'deep' && location.pathname == '`+path+`'`)
	}
	first.open(w.Origin() + "/")
	first.is("alice")
}

// TestSecondLoginEndsNothing: it takes the place of the first, and no tab is told of an end.
func TestSecondLoginEndsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	first := w.person(t)
	second := first.another()
	second.open(w.Origin() + "/")
	second.click("#login")
	second.see("#password")
	first.login("alice")
	second.credentials("alice")
	second.is("alice")
	first.until("the first tab hears of it", `heard.length > 0`)
	var told []heard
	first.js(`heard`, &told)
	for _, h := range told {
		if h.Event != "refreshed" {
			t.Errorf("%+v", h)
		}
	}
	first.is("alice")
	var answer string
	first.js(`intercom.fetch('/deep/orders', { method: 'POST' }).then(r => r.text())`, &answer)
	if answer != "ordered" {
		t.Errorf("the first tab orders: %q", answer)
	}
}

// TestLogoutLinkOfAnEarlierSession asks, in a page that no other site can frame, and does what is said. A link and a form of
// another site's ask too, and do not say that she is logged out.
func TestLogoutLinkOfAnEarlierSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.open(w.Origin() + "/bff/logout?sid=earlier")
	alice.click("a.act + a.act")
	alice.is("alice")
	out := w.Origin() + "/bff/logout"
	other := w.pages.put(mail, "/out", `<a id="go" href="`+out+`">go</a><form method="post" action="`+out+`"><button id="post">go</button></form>`)
	for _, way := range []string{"#go", "#post"} {
		alice.open(other)
		alice.click(way)
		alice.click("a.act + a.act")
		alice.is("alice")
	}
	alice.open(w.Origin() + "/bff/logout?sid=earlier")
	alice.click("a.act")
	alice.is("nobody")
}

// TestBetterLogin: what needs one says so without ending the session, and is there after it.
func TestBetterLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var answer struct {
		Code  string
		Heard []heard
	}
	alice.js(`intercom.fetch('/strong/page').then(r => r.json()).then(p => ({ Code: p.code, Heard: heard }))`, &answer)
	if answer.Code != "login_level_required" || len(answer.Heard) != 0 {
		t.Errorf("%+v", answer)
	}
	alice.js(`(intercom.login({ acr: '2', returnTo: '/strong/page' }), 0)`, new(int))
	alice.credentials("alice")
	alice.until("the better page", `document.title == 'strong'`)
}

// TestEndWhileNobodyListens: a page whose stream was cut when the session was lost hears of it all the same.
func TestEndWhileNobodyListens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	alice.until("it listens", `(navigator.locks.query().then(l => window.holding = l.held.length), window.holding == 1)`)
	old := w.Gateways[0]
	old.Stop(t) // and with it the sessions, which are in memory
	w.Front.Lead(w.Add(t, old.Config).Front)
	alice.hears("ended", time.Now())
	alice.is("nobody")
}

// TestLogoutReachesTheOtherTab within a second.
func TestLogoutReachesTheOtherTab(t *testing.T) {
	w := newWorld(t, options{})
	a := w.person(t)
	a.login("alice")
	b := a.another()
	b.open(w.Origin() + "/")
	b.is("alice")
	began := time.Now()
	a.click("#logout")
	h, took := b.hears("ended", began)
	if h.Reason == "" || took > soon() {
		t.Errorf("%+v after %s", h, took)
	}
	b.is("nobody")
	a.is("nobody")
}

// TestBackchannelLogoutReachesAnOpenTab within a second, wherever the session was ended.
func TestBackchannelLogoutReachesAnOpenTab(t *testing.T) {
	w := newWorld(t, options{})
	a := w.person(t)
	a.login("alice")
	began := time.Now()
	if n := w.idp.EndSession(t.Context(), "alice"); n != 1 {
		t.Fatalf("%d sessions at the provider", n)
	}
	h, took := a.hears("ended", began)
	if h.Reason != "session_revoked" || took > soon() {
		t.Errorf("%+v after %s", h, took)
	}
	a.is("nobody")
}
