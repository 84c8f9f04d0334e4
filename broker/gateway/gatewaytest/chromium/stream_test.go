package chromium_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
)

// TestUpload of 100 MB, made in the page: all of it arrives, and none of it is gathered on the way.
func TestUpload(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	before := held()
	var up struct {
		Sent, Got stored
	}
	alice.js(`(async () => {
		const chunk = crypto.getRandomValues(new Uint8Array(65536))
		const blob = new Blob(Array.from({ length: 1600 }, () => chunk))
		const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())
		const hash = Array.from(new Uint8Array(digest), b => b.toString(16).padStart(2, '0')).join('')
		const answer = await intercom.fetch('/deep/files', { method: 'POST', body: blob })
		return { Sent: { bytes: blob.size, hash }, Got: await answer.json() }
	})()`, &up)
	if up.Sent.Bytes != 1600<<16 || up.Got != up.Sent {
		t.Errorf("%+v", up)
	}
	if grown := held() - before; grown > 50<<20 {
		t.Errorf("the process has taken %d MiB", grown>>20)
	}
}

// TestUploadOfTooMuch: the page is told so in words, while it is still sending.
func TestUploadOfTooMuch(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var answer struct {
		Status int
		Code   string
	}
	alice.js(`intercom.fetch('/small/files', { method: 'POST', body: new Blob([new Uint8Array(50 << 20)]) })
		.then(async r => ({ Status: r.status, Code: (await r.json()).code }), e => ({ Code: e.message }))`, &answer)
	if answer.Status != 413 || w.service.called("POST", "/small/files") != 0 {
		t.Errorf("%+v", answer)
	}
	var more string
	alice.js(`intercom.fetch('/deep/orders', { method: 'POST' }).then(r => r.text())`, &more)
	if more != "ordered" {
		t.Errorf("after it: %q", more)
	}
}

// held is the memory that the gateway, and all else in this process, has taken for its heap at most.
func held() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapSys - m.HeapReleased)
}

// TestNews: the first event is there at once, while the stream goes on.
func TestNews(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var news struct {
		Text string
		Took float64 // ms
		Open bool
	}
	alice.js(`new Promise(done => {
		const began = performance.now()
		const events = new EventSource('/deep/news')
		events.onmessage = e => done({ Text: e.data, Took: performance.now() - began, Open: events.readyState == EventSource.OPEN })
	})`, &news)
	if took := time.Duration(news.Took * float64(time.Millisecond)); news.Text != "begun" || took > soon() || !news.Open {
		t.Errorf("%+v", news)
	}
}

// TestSocketEndsWithTheSession within a second, and says why.
func TestSocketEndsWithTheSession(t *testing.T) {
	w := newWorld(t, options{})
	alice := w.person(t)
	alice.login("alice")
	var echoed string
	alice.js(`new Promise((done, failed) => {
		const socket = new WebSocket('wss://' + location.host + '/deep/socket')
		socket.onopen = () => socket.send('hello')
		socket.onmessage = e => done(e.data)
		socket.onerror = () => failed(new Error('no socket'))
		socket.onclose = e => { window.ending = { Code: e.code, Reason: e.reason, At: Date.now() } }
	})`, &echoed)
	if echoed != "hello" {
		t.Errorf("the echo is %q", echoed)
	}
	began := time.Now()
	w.idp.EndSession(t.Context(), "alice")
	alice.until("the socket is closed", `window.ending`)
	var closed struct {
		Code   int
		Reason string
		At     int64
	}
	alice.js(`ending`, &closed)
	if took := time.UnixMilli(closed.At).Sub(began); closed.Code != 4401 || closed.Reason != "session_revoked" || took > soon() {
		t.Errorf("%+v after %s", closed, took)
	}
}

// TestOneStreamForAllTabs: one tab has the stream of events and tells the others; when it goes, another takes over, and
// nothing is missed.
func TestOneStreamForAllTabs(t *testing.T) {
	w := newWorld(t, options{})
	first := w.person(t)
	first.login("alice")
	first.until("the first tab leads", `(navigator.locks.query().then(l => window.holding = l.held.length), window.holding == 1)`)
	second, third := first.another(), first.another()
	for _, b := range []*tab{second, third} {
		b.open(w.Origin() + "/")
		b.is("alice")
	}
	third.until("the others wait", `(navigator.locks.query().then(l => window.waiting = l.pending.length), window.waiting == 2)`)
	streams := func() int { return second.askedFor("/bff/events") + third.askedFor("/bff/events") }
	if n := streams(); n != 0 || first.askedFor("/bff/events") == 0 {
		t.Fatalf("the first tab has asked %d times for events, the others %d", first.askedFor("/bff/events"), n)
	}
	first.close()
	second.until("one of the others leads", `(navigator.locks.query().then(l => window.waiting = l.pending.length), window.waiting == 1)`)
	gatewaytest.Eventually(t, "one of them has taken over", func() bool { return streams() > 0 })
	if second.askedFor("/bff/events") > 0 && third.askedFor("/bff/events") > 0 { // one may have asked twice: a stream reconnects
		t.Error("both have a stream")
	}
	began := time.Now()
	w.idp.EndSession(t.Context(), "alice")
	for _, b := range []*tab{second, third} {
		if _, took := b.hears("ended", began); took > soon() {
			t.Errorf("after %s", took)
		}
		b.is("nobody")
	}
}
