package chromium_test

import (
	"net/url"
	"testing"

	"github.com/intercom-broker/intercom/deploy/stack"
)

// said is a message that a page got.
type said struct {
	Origin string `json:"origin"`
	Data   struct {
		LoggedIn bool   `json:"loggedIn"`
		CSRF     string `json:"csrftoken"`
		Reason   string `json:"reason"`
	} `json:"data"`
}

// listener is a page that frames an address, and keeps what it is told.
const listener = `<script>
  window.said = []
  window.loaded = 0
  addEventListener('message', e => said.push({ origin: e.origin, data: e.data }))
</script>
<iframe src="ADDRESS" onload="loaded++"></iframe>`

// asks lets a page of host frame the silent login of an origin, and returns all that it is told. as is the origin that
// it gives itself out for.
func (b *tab) asks(host, origin, as string) (told []said) {
	b.t.Helper()
	address := origin + "/bff/silent?" + url.Values{"origin": {b.w.pages.origin(as)}}.Encode()
	b.open(b.w.pages.put(host, "/", replace(listener, "ADDRESS", address)))
	b.until("the frame is there", `window.loaded > 0`)
	b.js(`new Promise(done => setTimeout(() => done(said), 300))`, &told) // a second message would be one too many
	return told
}

// one is the message that there is to be one of.
func one(t *testing.T, told []said, origin string) said {
	t.Helper()
	if len(told) != 1 {
		t.Fatalf("want one message, got %+v", told)
	}
	if told[0].Origin != origin {
		t.Errorf("the message is from %s", told[0].Origin)
	}
	return told[0]
}

// TestSilentLogin in a frame on a sibling subdomain: a page of the portal learns who is there, and calls with what it
// is given.
func TestSilentLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	if m := one(t, alice.asks(portal, w.Origins[0], portal), w.Origins[0]); m.Data.LoggedIn || m.Data.CSRF != "" || m.Data.Reason != "login_required" {
		t.Errorf("nobody is logged in: %+v", m)
	}
	alice.login("alice")
	if m := one(t, alice.asks(portal, w.Origins[0], portal), w.Origins[0]); !m.Data.LoggedIn || m.Data.CSRF == "" {
		t.Errorf("with a session: %+v", m)
	}
	// The other origin has no session yet: the frame gets one on the way.
	m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1])
	if !m.Data.LoggedIn || m.Data.CSRF == "" {
		t.Fatalf("with a session at the provider: %+v", m)
	}
	var answer string
	alice.js(`fetch('`+w.Origins[1]+`/deep/orders', { method: 'POST', credentials: 'include', headers: { 'X-CSRF-Token': '`+m.Data.CSRF+`' } }).then(r => r.text())`, &answer)
	if answer != "ordered" || w.service.called("POST", "/deep/orders") != 1 {
		t.Errorf("the portal orders: %q", answer)
	}
}

// TestForeignFrameLearnsNothing: neither a sibling, whose frame has the session's cookie, nor another site.
func TestForeignFrameLearnsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	for _, host := range []string{evil, foreignEvil} {
		for _, as := range []string{host, portal} {
			if told := alice.asks(host, w.Origin(), as); len(told) != 0 {
				t.Errorf("%s as %s: %+v", host, as, told)
			}
			var seen string
			alice.js(`(() => { try { return frames[0].document.documentElement.outerHTML } catch (e) { return e.name } })()`, &seen)
			if seen != "SecurityError" {
				t.Errorf("%s as %s sees %s", host, as, seen)
			}
		}
	}
}

// TestThirdPartyCookies: with the provider on another site, a frame has its cookie only where the user has allowed
// that. The way out is a navigation, which asks nothing.
func TestThirdPartyCookies(t *testing.T) {
	t.Run("blocked", func(t *testing.T) {
		w := newWorld(t, options{provider: foreignID})
		alice := w.person(t)
		alice.login("alice")
		if m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1]); m.Data.LoggedIn || m.Data.Reason != "login_required" {
			t.Errorf("%+v", m)
		}
		alice.bounces(w.Origins[1])
		if m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1]); !m.Data.LoggedIn {
			t.Errorf("after the navigation: %+v", m)
		}
	})
	t.Run("allowed", func(t *testing.T) {
		w := newWorld(t, options{provider: foreignID, browser: stack.StartChromium(t, stack.ChromiumOptions{ThirdPartyCookies: true})})
		alice := w.person(t)
		alice.login("alice")
		if m := one(t, alice.asks(portal, w.Origins[1], portal), w.Origins[1]); !m.Data.LoggedIn {
			t.Errorf("%+v", m)
		}
	})
}

// bounces lets the portal send the tab to a silent login and back.
func (b *tab) bounces(origin string) {
	b.t.Helper()
	back := b.w.pages.put(portal, "/back", `<h1 id="back">back</h1>`)
	b.open(b.w.pages.put(portal, "/", `<a id="go" href="`+origin+`/bff/login?`+url.Values{"prompt": {"none"}, "return_to": {back}}.Encode()+`">go</a>`))
	b.click("#go")
	b.until("the tab is back", `location.href == '`+back+`' && document.getElementById('back')`)
}

// TestForeignPortalIsAnswered: a page of another site is told that this does not work there, and does not wait for it.
func TestForeignPortalIsAnswered(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	if m := one(t, alice.asks(foreignPortal, w.Origin(), foreignPortal), w.Origin()); m.Data.LoggedIn || m.Data.Reason != "cookies_blocked" {
		t.Errorf("%+v", m)
	}
}
