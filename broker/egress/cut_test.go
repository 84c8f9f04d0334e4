package egress_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

const denyAll = "p, spiffe://intercom.test/orders, call, service/crm/**, deny"

// ticking says something for ever.
func ticking(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for r.Context().Err() == nil {
		_, _ = fmt.Fprint(w, "data: tick\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(2 * time.Millisecond)
	}
}

// TestPolicyCutsStreams: within moments of the change, and only what it no longer allows.
func TestPolicyCutsStreams(t *testing.T) {
	_, flow := upstream(t, ticking)
	doortest.Protocols(t, func(t *testing.T, proto string) {
		d := newDoor(t, crm(flow))
		client := d.client(t, proto)
		cut, kept := doortest.Open(t, client, "GET", "https://crm/events", nil), doortest.Open(t, client, "GET", "https://crm/other", nil)
		expectTick(t, cut, kept)
		d.rules.set(t, allowAll, "# a change that changes nothing here")
		expectTick(t, cut, kept)
		d.rules.set(t, allowAll, "p, spiffe://intercom.test/orders, call, service/crm/GET/events, deny")
		if _, err := io.Copy(io.Discard, cut.Body); err == nil {
			t.Error("the stream ended as if it were whole")
		}
		expectTick(t, kept)
		if e := d.journal.outcome(t, cut.Header.Get(fault.DecisionHeader)); e.Result != "denied" || e.Bytes == 0 {
			t.Errorf("recorded as %+v", e)
		}
		if a := doortest.Do(t, client, "GET", "https://crm/events"); a.StatusCode != http.StatusForbidden {
			t.Errorf("a new one got %d", a.StatusCode)
		}
	})
}

func expectTick(t *testing.T, responses ...*http.Response) {
	t.Helper()
	for _, res := range responses {
		if _, err := io.ReadFull(res.Body, make([]byte, 200)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPolicyCutsWebSockets(t *testing.T) {
	_, flow := upstream(t, talk)
	d := newDoor(t, crm(flow))
	c := d.dial(t, "/chat")
	say(t, c, "hello")
	d.rules.set(t, allowAll, denyAll)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("read gave %v", err)
	}
	if e := d.journal.last(t); e.Result != "denied" || e.Bytes == 0 {
		t.Errorf("recorded as %+v", e)
	}
}

func TestPolicyCutsGRPC(t *testing.T) {
	d := newDoor(t, "  x: http://x\n")
	d.services(t, crm(d.grpcUpstream(t, false)))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := d.conn(t, "crm").NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/t.Echo/Talk")
	if err != nil {
		t.Fatal(err)
	}
	m := wrapperspb.String("x")
	if s.SendMsg(m) != nil || s.RecvMsg(m) != nil {
		t.Fatal("no conversation")
	}
	d.rules.set(t, allowAll, denyAll)
	if err := s.RecvMsg(m); err == nil || status.Code(err) == codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// TestPolicyReachesWaitingCalls: a call that still waits for its upstream is told why it ends.
func TestPolicyReachesWaitingCalls(t *testing.T) {
	arrived := make(chan struct{})
	_, flow := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	d := newDoor(t, crm(flow))
	go func() {
		<-arrived
		d.rules.set(t, allowAll, denyAll)
	}()
	a := doortest.Do(t, d.client(t, "h2"), "GET", "https://crm/")
	if p := a.Problem(t); a.StatusCode != http.StatusForbidden || p.Code != "POLICY_CHANGED" {
		t.Errorf("got %d %+v", a.StatusCode, p)
	}
}

// TestNoStreamSlipsThroughAChange changes the policy between the decision and the moment when the act is
// known to those who look at it.
func TestNoStreamSlipsThroughAChange(t *testing.T) {
	_, flow := upstream(t, ticking)
	d := newDoor(t, crm(flow))
	var once atomic.Bool
	d.rules.hook = func() {
		if once.CompareAndSwap(false, true) {
			d.rules.set(t, allowAll, denyAll)
			eventually(t, "look at the change", func() bool { return d.seen.Load() > 1 })
		}
	}
	a := doortest.Do(t, d.client(t, "h2"), "GET", "https://crm/events")
	if a.StatusCode != http.StatusForbidden {
		t.Errorf("got %d", a.StatusCode)
	}
}

// TestShutdownCutsWebSockets: http.Server no longer knows them.
func TestShutdownCutsWebSockets(t *testing.T) {
	_, flow := upstream(t, talk)
	d := newDoor(t, crm(flow))
	c := d.dial(t, "/chat")
	say(t, c, "hello")
	d.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("read gave %v", err)
	}
	if e := d.journal.last(t); e.Result != "unavailable" {
		t.Errorf("recorded as %+v", e)
	}
}
