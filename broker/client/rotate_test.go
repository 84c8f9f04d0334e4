package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// follow runs the client's rotation until the test ends.
func follow(t *testing.T, c *client.Client, prepare func(context.Context, *client.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, prepare) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// rotates holds calls to their SVID and to success while rotate brings new ones.
func rotates(t *testing.T, d *embedded.Domain, rotate func()) {
	t.Helper()
	one, two := start(t, d, "/broker", anywhere, &broker{}), start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{one.mesh.addr(), two.mesh.addr()}, Timeout: 5 * time.Second})
	prepared := make(chan string, 100)
	follow(t, c, func(ctx context.Context, next *client.Conn) error {
		if next.Thumbprint() == c.Conn().Thumbprint() {
			t.Error("in use before it was prepared")
		}
		// What is prepared is asked for with the next SVID, not with the one in use.
		resp, err := next.Exchange(ctx, &intercomv1.ExchangeRequest{})
		if err != nil || resp.GetAccessToken() != next.Thumbprint() {
			t.Errorf("prepared %q for %q: %v", resp.GetAccessToken(), next.Thumbprint(), err)
		}
		prepared <- next.Thumbprint()
		return err
	})
	done, stop := load(t, func() error {
		conn := c.Conn()
		resp, err := conn.Exchange(t.Context(), &intercomv1.ExchangeRequest{})
		if err == nil && resp.GetAccessToken() != conn.Thumbprint() {
			t.Errorf("a call of Conn %s arrived with %s", conn.Thumbprint(), resp.GetAccessToken())
		}
		return err
	})
	for range 3 {
		rotate()
		next := <-prepared
		eventually(t, "it is in use", func() bool { return c.Conn().Thumbprint() == next })
		more(t, "calls go on", done, 20)
	}
	if failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %v", len(failed), done.Load(), failed[0])
	}
}

func TestRotationUnderLoad(t *testing.T) {
	d := domain(t, embedded.Config{})
	rotates(t, d, d.Rotate)
}

// TestShortLifeUnderLoad lets SVIDs end while calls are made: besides the rotation, brokers ask connections
// to go at half of their life.
func TestShortLifeUnderLoad(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes three half lives of an SVID, 9 s")
	}
	rotates(t, domain(t, embedded.Config{SVIDLife: 6 * time.Second}), func() {})
}

// TestFormerStaysUntilTheNextIsPrepared: preparation fails for a while.
func TestFormerStaysUntilTheNextIsPrepared(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	former := c.Conn()
	var tries int
	gate := make(chan struct{})
	follow(t, c, func(context.Context, *client.Conn) error {
		if tries++; tries < 4 {
			return errors.New("not yet")
		}
		close(gate)
		return nil
	})
	d.Rotate()
	for prepared := false; !prepared; {
		select {
		case <-gate:
			prepared = true
		default:
			if c.Conn() != former {
				t.Fatal("another Conn is in use before it was prepared")
			}
			time.Sleep(time.Millisecond)
		}
	}
	eventually(t, "the next one is in use", func() bool { return c.Conn() != former })
	<-former.Done()
}

// TestFormerAtItsEnd: the next Conn is taken even unprepared when the former one's life is nearly over.
func TestFormerAtItsEnd(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{SVIDLife: 3 * time.Second})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}})
	former := c.Conn()
	follow(t, c, func(context.Context, *client.Conn) error { return errors.New("never") })
	eventually(t, "the next one is in use", func() bool { return c.Conn() != former })
	if left := time.Until(former.NotAfter()); left > time.Second {
		t.Errorf("with %v left", left)
	}
}

// TestNextIsNotUsedWithoutABroker: brokers that cannot verify the new SVID are no reason to give up the
// old one.
func TestNextIsNotUsedWithoutABroker(t *testing.T) {
	t.Parallel()
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, Timeout: 2 * time.Second, Patience: -1})
	calls := func() bool { _, err := exchange(t, c); return err == nil }
	eventually(t, "a call goes through", calls)
	former := c.Conn()
	b.mesh.full.Store(true) // takes no new connection; those that are there go on
	follow(t, c, nil)
	d.Rotate()
	time.Sleep(2500 * time.Millisecond) // longer than the next one's preparation may take
	eventually(t, "calls go on", calls)
	if c.Conn() != former {
		t.Error("the next one is in use, and no broker takes it")
	}
}

func TestWatchServices(t *testing.T) {
	d := domain(t, embedded.Config{})
	// Two that are there from the beginning: a port that was given up, others take before it is back.
	b, next := start(t, d, "/broker", anywhere, &broker{}), start(t, d, "/broker", anywhere, &broker{})
	next.mesh.full.Store(true)
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr(), next.mesh.addr()}})
	follow(t, c, nil)
	var revisions []string
	awaited := "3" // of next
	b.lists <- &intercomv1.WatchServicesResponse{Revision: "1"}
	for list, err := range c.WatchServices(t.Context()) {
		if err != nil {
			if revisions = append(revisions, "lost"); b == next { // the stream before may have taken it to its end
				select {
				case b.lists <- &intercomv1.WatchServicesResponse{Revision: awaited}:
				default:
				}
				continue
			}
			b = next
			b.mesh.full.Store(false)
			b.lists <- &intercomv1.WatchServicesResponse{Revision: "3"}
			continue
		}
		revisions = append(revisions, list.GetRevision())
		switch list.GetRevision() {
		case "1":
			b.lists <- &intercomv1.WatchServicesResponse{Revision: "2"}
		case "2":
			b.mesh.pull()
		case "3": // a rotation opens the stream anew, and is no failure
			former := b.calls.Load()
			awaited = "4"
			d.Rotate()
			go func() {
				for b.calls.Load() == former && t.Context().Err() == nil {
					time.Sleep(time.Millisecond)
				}
				b.lists <- &intercomv1.WatchServicesResponse{Revision: "4"}
			}()
		}
		if list.GetRevision() == "4" {
			break
		}
	}
	if got := len(revisions); got < 5 || revisions[2] != "lost" || revisions[got-1] != "4" {
		t.Errorf("saw %v", revisions)
	}
}

// TestSilentBroker: one that takes the stream and sends nothing is left.
func TestSilentBroker(t *testing.T) {
	d := domain(t, embedded.Config{})
	b := start(t, d, "/broker", anywhere, &broker{})
	c := dial(t, d, client.Config{Addresses: []string{b.mesh.addr()}, Timeout: 200 * time.Millisecond})
	for list, err := range c.WatchServices(t.Context()) {
		if err == nil {
			t.Errorf("got %v", list)
		}
		break
	}
}

func TestIDsOfTheDomain(t *testing.T) {
	d := domain(t, embedded.Config{})
	c := dial(t, d, client.Config{})
	if got := c.Conn().SVID().ID; got != spiffeid.RequireFromPath(d.Name(), "/orders") {
		t.Errorf("SVID of %v", got)
	}
}
