package chromium_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// TestSiblingIsRefused: a page of a sibling subdomain makes the browser send the session's cookie, by each way that
// there is, and nothing of it reaches the service.
func TestSiblingIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	link := w.pages.put(evil, "/link", `<a id="go" href="`+w.Origin()+`/deep/page">go</a>`)
	alice.open(link)
	alice.click("#go")
	alice.until("a link of the sibling has the cookie with it", `document.title == 'deep'`)

	attack := w.pages.put(evil, "/", replace(`
<iframe name="sink"></iframe>
<form id="form" method="post" action="ORIGIN/deep/orders" target="sink"><input name="csrf_token" value="guess"></form>
<script>
  const seen = name => answer => { window[name] = answer.type + ' ' + answer.status }
  const failed = name => () => { window[name] = 'failed' }
  const call = (name, path, init) => fetch('ORIGIN' + path, { credentials: 'include', ...init }).then(seen(name), failed(name))
  call('post', '/deep/orders', { method: 'POST', mode: 'no-cors', body: 'a=b' })
  call('read', '/deep/orders', { method: 'POST' })
  call('preflighted', '/deep/orders', { method: 'POST', headers: { 'X-CSRF-Token': 'guess' } })
  call('get', '/deep/picture', { mode: 'no-cors' })
  call('session', '/bff/session')
  call('touch', '/bff/session/touch', { method: 'POST', mode: 'no-cors' })
  call('logout', '/bff/logout', { method: 'POST', mode: 'no-cors' })
  const image = new Image()
  image.onerror = image.onload = () => { window.image = 'done' }
  image.src = 'ORIGIN/deep/picture'
  const frame = document.createElement('iframe')
  frame.onload = () => { window.frame = 'done' }
  frame.src = 'ORIGIN/deep/picture'
  document.body.append(frame)
  const socket = new WebSocket('ORIGIN/deep/socket'.replace('https', 'wss'))
  socket.onopen = () => { window.socket = 'open' }
  socket.onerror = () => { window.socket = 'failed' }
  const events = new EventSource('ORIGIN/bff/events', { withCredentials: true })
  events.onopen = () => { window.events = 'open' }
  events.onerror = () => { window.events = 'failed'; events.close() }
  document.getElementById('form').submit()
  document.querySelector('[name=sink]').onload = () => { window.form = 'done' }
</script>`, "ORIGIN", w.Origin()))
	alice.open(attack)
	for name, want := range map[string]string{
		"post": "opaque 0", "read": "failed", "preflighted": "failed", "get": "opaque 0", "session": "failed", "touch": "failed", "logout": "opaque 0",
		"image": "done", "frame": "done", "socket": "failed", "events": "failed", "form": "done",
	} {
		alice.until("the attack has ended: "+name, `typeof window['`+name+`'] == 'string'`)
		var got string
		alice.js(`window['`+name+`']`, &got)
		if got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, call := range []string{"POST /deep/orders", "GET /deep/picture", "GET /deep/socket"} {
		method, path, _ := strings.Cut(call, " ")
		if n := w.service.called(method, path); n != 0 {
			t.Errorf("%s reached the service %d times", call, n)
		}
	}
	alice.open(w.Origin() + "/")
	alice.is("alice") // nor was she logged out
	var answer string
	alice.js(`intercom.fetch('/deep/orders', { method: 'POST' }).then(r => r.text())`, &answer)
	if answer != "ordered" || w.service.called("POST", "/deep/orders") != 1 {
		t.Errorf("her own page orders: %q", answer)
	}
}

// TestTokenStaysHome: a service that redirects wherever it is told to does not get the token to a server of somebody else's that
// every page may call.
func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	got := make(chan string, 100)
	thief := at(serve(t, w.browser.Authority, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		rw.Header().Set("Access-Control-Allow-Credentials", "true")
		rw.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		rw.Header().Set("Access-Control-Allow-Methods", r.Header.Get("Access-Control-Request-Method"))
		got <- r.Header.Get("X-CSRF-Token")
	}), foreignEvil), foreignEvil) + "/"
	alice := w.person(t)
	alice.login("alice")
	own := `intercom.session().then(s => fetch('/deep/away?STATUS THIEF', { method: 'POST', headers: { 'X-CSRF-Token': s.csrf_token } }))`
	for _, call := range []string{own, `intercom.fetch('/deep/away?STATUS THIEF', { method: 'POST' })`} {
		for _, status := range []string{"302", "307"} {
			call := replace(call, "STATUS", status, "THIEF", thief)
			var to string
			alice.js(call+`.then(r => r.status + ' ' + r.headers.get('Intercom-Location'), String)`, &to)
			if to != status+" "+thief {
				t.Errorf("%s: %s", call, to)
			}
		}
	}
	if len(got) != 0 {
		t.Errorf("the thief was called with %q", <-got)
	}
}

// TestLinkInAMail: who is logged in sees the page and no login, and the very place in it, also who is it at the provider alone;
// who is not sees one login and then the page.
func TestLinkInAMail(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{id, foreignID} {
		w := newWorld(t, options{provider: provider})
		letter := w.pages.put(mail, "/", `<a id="go" href="`+w.Origin()+`/deep/page?from=mail#part">go</a>`)
		deep := `document.title == 'deep' && location.pathname + location.search == '/deep/page?from=mail'`
		alice := w.person(t)
		alice.open(letter)
		alice.click("#go")
		alice.credentials("alice")
		alice.until("the page after the login", deep)
		before := alice.askedFor("/authorize")
		alice.open(letter)
		alice.click("#go")
		alice.until("the page at once, and the place in it", deep+` && location.hash == '#part'`)
		alice.do("forget the session here", network.DeleteCookies("__Host-Http-ic").WithURL(w.Origin()))
		alice.open(letter)
		alice.click("#go")
		alice.until("the page after a login that asks nothing, and the place in it", deep+` && location.hash == '#part'`)
		if n := alice.askedFor("/authorize") - before; n != 1 {
			t.Errorf("%s was asked %d times", provider, n)
		}
		before++
		alice.do("turn scripts off", emulation.SetScriptExecutionDisabled(true))
		alice.open(letter)
		alice.do("click", chromedp.Click("#go", chromedp.ByQuery))
		alice.do("see the page at once", chromedp.WaitReady("#deep", chromedp.ByQuery))
		if n := alice.askedFor("/authorize") - before; n != 0 {
			t.Errorf("%s was asked %d times", provider, n)
		}
		if n := w.service.called("GET", "/deep/page"); n != 4 {
			t.Errorf("the page was served %d times", n)
		}
	}
}
