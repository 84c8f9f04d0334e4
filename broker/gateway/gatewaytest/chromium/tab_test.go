package chromium_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is for what a loaded machine does at last.
const patience = 30 * time.Second

// tab is a tab of somebody's browser. Tabs of one person share cookies and storage.
type tab struct {
	t       *testing.T
	w       *world
	browser context.Context // the connection to it, which all tabs of a person have
	profile cdp.BrowserContextID
	ctx     context.Context
	close   context.CancelFunc

	mu    sync.Mutex
	asked []string // the addresses that the tab has asked for
}

// person is somebody new: a first tab, without cookies.
func (w *world) person(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewRemoteAllocator(context.Background(), w.browser.Debugger, chromedp.NoModifyURL)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	must(t, chromedp.Run(ctx)) // connects, and lives as long as the context of this very call
	browser := cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
	profile, err := target.CreateBrowserContext().Do(browser)
	must(t, err)
	t.Cleanup(func() { _ = target.DisposeBrowserContext(profile).Do(browser) })
	return w.tab(t, ctx, profile)
}

// another opens one more tab of the same person.
func (b *tab) another() *tab {
	b.t.Helper()
	return b.w.tab(b.t, b.browser, b.profile)
}

// tab opens a tab in a window of its own: none is in the background, where timers are slow.
func (w *world) tab(t *testing.T, browser context.Context, profile cdp.BrowserContextID) *tab {
	t.Helper()
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(profile).WithNewWindow(true).
		Do(cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser))
	must(t, err)
	b := &tab{t: t, w: w, browser: browser, profile: profile}
	b.ctx, b.close = chromedp.NewContext(browser, chromedp.WithTargetID(id))
	t.Cleanup(b.close)
	chromedp.ListenTarget(b.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.asked = append(b.asked, e.Request.URL)
		}
	})
	must(t, chromedp.Run(b.ctx))
	return b
}

// askedFor counts what the tab has asked for.
func (b *tab) askedFor(part string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, address := range b.asked {
		if strings.Contains(address, part) {
			n++
		}
	}
	return n
}

// do does what a person does.
func (b *tab) do(what string, actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v; the tab shows %s", what, err, b.shows())
	}
}

// open types an address.
func (b *tab) open(address string) {
	b.t.Helper()
	b.do("open "+address, chromedp.Navigate(address))
}

// click clicks, once there is something to be clicked on.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

// see waits until the page shows something.
func (b *tab) see(selector string) {
	b.t.Helper()
	b.do("see "+selector, chromedp.WaitVisible(selector, chromedp.ByQuery))
}

// credentials types a name, which is the password too, into the provider's page.
func (b *tab) credentials(name string) {
	b.t.Helper()
	b.see("#password")
	b.do("type a name", chromedp.Clear("#username", chromedp.ByQuery), chromedp.SendKeys("#username", name, chromedp.ByQuery),
		chromedp.SendKeys("#password", name+kb.Enter, chromedp.ByQuery))
}

// login logs somebody in by the application's page, and ends there.
func (b *tab) login(name string) {
	b.t.Helper()
	b.open(b.w.Origin() + "/")
	b.click("#login")
	b.credentials(name)
	b.is(name)
}

// is waits until the application says who is there.
func (b *tab) is(name string) {
	b.t.Helper()
	b.until("the application says "+name, `document.title == 'app' && document.getElementById('who')?.textContent == '`+name+`'`)
}

// js evaluates an expression, and awaits what it promises.
func (b *tab) js(expression string, result any) {
	b.t.Helper()
	b.do("evaluate "+expression, chromedp.Evaluate(expression, result, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
}

// until polls while the page may still be on its way to another.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ok := false; !ok; {
		if chromedp.Run(ctx, chromedp.Evaluate(`Boolean(`+condition+`)`, &ok)) != nil {
			ok = false // the page that was asked is gone
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("not within %s: %s; the tab shows %s", patience, what, b.shows())
		case <-tick.C:
		}
	}
}

// shows describes the page, for who reads a failure.
func (b *tab) shows() (text string) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Evaluate(`location.href + ' "' + document.title + '": ' + document.body?.innerText.slice(0, 300)`, &text)); err != nil {
		return err.Error()
	}
	return text
}

// address is where the tab is.
func (b *tab) address() (address string) {
	b.t.Helper()
	b.do("read the address", chromedp.Location(&address))
	return address
}

// heard is what the application's page was told of the session.
type heard struct {
	Event  string `json:"event"`
	Reason string `json:"reason"`
	At     int64  `json:"at"` // Unix milliseconds
}

// hears waits for an event, and returns how long after began the page had it.
func (b *tab) hears(event string, began time.Time) (heard, time.Duration) {
	b.t.Helper()
	b.until("the page hears "+event, `heard.some(h => h.event == '`+event+`')`)
	var h heard
	b.js(`heard.find(h => h.event == '`+event+`')`, &h)
	return h, time.UnixMilli(h.At).Sub(began)
}
