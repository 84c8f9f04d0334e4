package client_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
)

// load makes calls from several goroutines until the returned stop is called, which reports how many
// succeeded and what failed.
func load(t *testing.T, call func() error) (done *atomic.Int64, stop func() []error) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	quit := make(chan struct{})
	done = new(atomic.Int64)
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if err := call(); err != nil {
					mu.Lock()
					failed = append(failed, err)
					mu.Unlock()
				}
				done.Add(1)
			}
		})
	}
	return done, func() []error { close(quit); wg.Wait(); return failed }
}

func more(t *testing.T, what string, done *atomic.Int64, n int64) {
	t.Helper()
	from := done.Load()
	eventually(t, what, func() bool { return done.Load() >= from+n })
}

func TestOneOfTwoBrokersIsKilled(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	one, two := start(t, d, "/broker", anywhere, &broker{}), start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{one.mesh.addr(), two.mesh.addr()}})
	done, stop := load(t, func() error { _, err := exchange(t, c); return err })
	eventually(t, "both are asked", func() bool { return one.calls.Load() > 10 && two.calls.Load() > 10 })
	one.mesh.pull()
	more(t, "calls go on at the other", done, 100)
	again := start(t, d, "/broker", one.mesh.addr(), &broker{})
	eventually(t, "the one that is back is asked again", func() bool { return again.calls.Load() > 10 })
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %v", len(failed), done.Load(), failed[0])
	}
}

// TestTheOnlyBrokerRestarts: a restart within the client's patience is not noticed.
func TestTheOnlyBrokerRestarts(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	done, stop := load(t, func() error { _, err := exchange(t, c); return err })
	more(t, "calls", done, 20)
	b.mesh.pull()
	time.Sleep(500 * time.Millisecond) // the restart
	start(t, d, "/broker", b.mesh.addr(), &broker{})
	more(t, "calls go on", done, 100)
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %v", len(failed), done.Load(), failed[0])
	}
}

// TestOurOwnSVIDIsOver: when the Workload API went silent, the failure names that and not the brokers, who
// are well, and no request is begun that may seem to have been carried out.
func TestOurOwnSVIDIsOver(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{SVIDLife: 3 * time.Second})
	var calls atomic.Int64
	b := start(t, d, "/broker", anywhere, &broker{})
	door := startEgress(t, d, anywhere, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, EgressAddresses: []string{door.addr()}})
	eventually(t, "it is over", func() bool { return time.Now().After(c.Conn().NotAfter()) })
	_, call := exchange(t, c)
	_, request := send(t, c, http.MethodPost, "http://crm/", "body")
	for _, err := range []error{call, request} {
		f := fault.From(err)
		if f.Kind != fault.Unavailable || f.Reason != "SVID_ENDED" || !strings.Contains(f.Message, c.Conn().NotAfter().UTC().Format(time.RFC3339)) {
			t.Errorf("got %v: %+v", err, f)
		}
	}
	if calls.Load() != 0 {
		t.Error("the request was sent")
	}
}
