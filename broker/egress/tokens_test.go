package egress_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/egress"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// clock is one that the test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) forward(d time.Duration) { c.offset.Add(int64(d)) }

// TestTokensAreKept for half of their life, and no longer than what they were made for is the same.
func TestTokensAreKept(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	c := &clock{}
	d := newDoor(t, "  ledger:\n    upstream: "+flow+"\n    token: { bind: none, scope: [read] }\n"+
		"  other:\n    upstream: "+flow+"\n    inject: { bearer: { mint: { audience: ledger } } }\n",
		func(cfg *egress.Config) { cfg.Now = c.now })
	d.mint.now = c.now
	d.rules.set(t, allowAll, "p, spiffe://intercom.test/invoices, call, service/**, allow")
	client := d.client(t, "h2")
	call := func(url string) string {
		return doortest.Do(t, client, "GET", url).Seen(t).Header.Get("Authorization")
	}
	expect := func(why string, want int64) {
		t.Helper()
		if got := d.mint.calls.Load(); got != want {
			t.Errorf("%s: %d tokens were minted, want %d", why, got, want)
		}
	}
	first := call("https://ledger/")
	if !strings.HasPrefix(first, "Bearer minted.ledger.read.") || call("https://ledger/other/path") != first {
		t.Errorf("the token was not used again: %q", first)
	}
	expect("the same", 1)
	if call("https://other/") == first {
		t.Error("a token of another scope was used")
	}
	expect("another scope", 2)
	doortest.Do(t, d.clientOf(t, "/invoices", "h2"), "GET", "https://ledger/").Seen(t)
	expect("another caller", 3)
	d.rules.set(t, allowAll, "# another revision")
	call("https://ledger/")
	expect("another revision", 4)
	c.forward(31 * time.Second)
	call("https://ledger/")
	expect("past half of its life", 5)

	// While nobody can mint, what is held is good until it ends, and not after.
	d.mint.err = fault.New(fault.Unavailable, "KEY_MISSING", "no key")
	c.forward(40 * time.Second)
	if a := doortest.Do(t, client, "GET", "https://ledger/"); a.StatusCode != 200 {
		t.Errorf("a token that lives was not used: %d", a.StatusCode)
	}
	d.mint.err = fault.New(fault.Denied, "", "not for you")
	if a := doortest.Do(t, client, "GET", "https://ledger/"); a.StatusCode != 403 {
		t.Errorf("a refusal was taken for an outage: %d", a.StatusCode)
	}
	d.mint.err = fault.New(fault.Unavailable, "KEY_MISSING", "no key")
	c.forward(40 * time.Second)
	if a := doortest.Do(t, client, "GET", "https://ledger/"); a.StatusCode != 503 {
		t.Errorf("after its end: %d", a.StatusCode)
	}
}

func TestTokensUnderLoad(t *testing.T) {
	_, flow := upstream(t, doortest.Echo)
	d := newDoor(t, "  ledger: "+"\n    upstream: "+flow+"\n    token: { bind: none }\n")
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			client := d.client(t, "h2")
			for range 8 {
				if a := doortest.Do(t, client, "GET", "https://ledger/"); a.StatusCode != 200 {
					t.Errorf("got %d", a.StatusCode)
				}
			}
		})
	}
	group.Wait()
	// Each client has an SVID of its own, and so a token of its own.
	if got := d.mint.calls.Load(); got > 16 {
		t.Errorf("%d tokens were minted for 16 callers", got)
	}
}
