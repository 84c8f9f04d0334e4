package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/freeport"
	"github.com/intercom-broker/intercom/broker/gateway/upstream"
	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// counting is a service that counts its connections and requests.
type counting struct {
	url                string
	dials, open, calls atomic.Int64
}

func newCounting(t testing.TB, h http.HandlerFunc) *counting {
	t.Helper()
	c := &counting{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.calls.Add(1)
		h(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			c.dials.Add(1)
			c.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			c.open.Add(-1)
		}
	}
	s.Config.ErrorLog = quiet
	s.Start()
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// TestReloadKeepsConnections of services that are where they were, and lets go of the others.
func TestReloadKeepsConnections(t *testing.T) {
	crmAt, other := newCounting(t, doortest.Echo), newCounting(t, doortest.Echo)
	g := newGate(t, crm(crmAt.url)+named("other", other.url))
	client := g.client(t, "http/1.1")
	call := func(name string) {
		t.Helper()
		if a := doortest.Do(t, client, "GET", "http://door.test/"+name+"/"); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", name, a.Status)
		}
	}
	call("crm")
	call("other")
	g.services(t, crm(crmAt.url, "body_limit: 1KiB")+named("other", other.url, "timeout: 9s"))
	eventually(t, "end of the connection with the old timeout", func() bool { return other.open.Load() == 0 })
	call("crm")
	call("other")
	if n := crmAt.dials.Load(); n != 1 {
		t.Errorf("%d connections to a service that stayed where it was", n)
	}
	g.services(t, named("other", other.url, "timeout: 9s"))
	eventually(t, "end of the connection that nobody wants", func() bool { return crmAt.open.Load() == 0 })
	call("other")
	if n := other.dials.Load(); n != 2 {
		t.Errorf("%d connections to the other service", n)
	}
}

// TestReloadDropsNothing reloads under load: one service moves for ever, the other never.
func TestReloadDropsNothing(t *testing.T) {
	still := newCounting(t, doortest.Echo)
	places := []string{newCounting(t, doortest.Echo).url, newCounting(t, doortest.Echo).url}
	g := newGate(t, crm(still.url)+named("other", places[0]))
	client := g.client(t, "h2")
	ctx, stop := context.WithCancel(t.Context())
	var calls atomic.Int64
	var group sync.WaitGroup
	for i := range 8 {
		name := []string{"crm", "other"}[i%2]
		group.Go(func() {
			for ctx.Err() == nil {
				if a := doortest.Do(t, client, "POST", "http://door.test/"+name+"/", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) }); a.StatusCode != http.StatusOK {
					t.Errorf("%s: %s %s", name, a.Status, a.Text)
				}
				calls.Add(1)
			}
		})
	}
	for i := range 50 {
		before := calls.Load()
		g.services(t, crm(still.url)+named("other", places[i%2], fmt.Sprintf("timeout: %dm", i+1)))
		eventually(t, "traffic", func() bool { return calls.Load() > before+8 || t.Failed() })
	}
	stop()
	group.Wait()
	if n := still.dials.Load(); n > 4 {
		t.Errorf("%d connections to the service that never moved", n)
	}
}

// TestSetWithoutFollow: a service that no catalogue brought is served all the same, over one pool.
func TestSetWithoutFollow(t *testing.T) {
	at := newCounting(t, doortest.Echo)
	set := upstream.New(upstream.Config{})
	svc, _ := parse(t, crm(at.url)).Get("crm")
	for range 3 {
		res, err := set.RoundTrip(svc, nil, httptest.NewRequest("GET", "http://evil.test/x", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	if n := at.dials.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	set.Follow(&service.Catalog{})
	eventually(t, "end of the connection", func() bool { return at.open.Load() == 0 })
}

// TestRunFollowsTheFiles, and lets go of everything at its end.
func TestRunFollowsTheFiles(t *testing.T) {
	at := newCounting(t, doortest.Echo)
	dir := t.TempDir()
	write(t, dir, crm(at.url))
	files, err := service.Open(t.Context(), service.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	set := upstream.New(upstream.Config{})
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = files.Run(ctx) })
	group.Go(func() { _ = set.Run(ctx, files) })
	call := func() {
		svc, _ := files.Current().Get("crm")
		res, err := set.RoundTrip(svc, nil, httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	call()
	write(t, dir, named("other", at.url))
	eventually(t, "end of the connection that no file wants", func() bool { return at.open.Load() == 0 })
	write(t, dir, crm(at.url))
	eventually(t, "service in the files", func() bool { _, ok := files.Current().Get("crm"); return ok })
	call()
	stop()
	group.Wait()
	eventually(t, "end of all connections", func() bool { return at.open.Load() == 0 })
}

// TestTargetsTakeTurns, and not one of them twice in a row.
func TestTargetsTakeTurns(t *testing.T) {
	a, b, c := newCounting(t, doortest.Echo), newCounting(t, doortest.Echo), newCounting(t, doortest.Echo)
	g := newGate(t, many(a.url, b.url, c.url))
	client := g.client(t, "h2")
	for range 30 {
		doortest.Do(t, client, "GET", "http://door.test/crm/")
	}
	for i, at := range []*counting{a, b, c} {
		if n, dials := at.calls.Load(), at.dials.Load(); n != 10 || dials != 1 {
			t.Errorf("target %d had %d calls over %d connections", i, n, dials)
		}
	}
}

// TestDeadTargetIsPassedOver: every request is answered, bodies arrive whole, and the dead one is asked again
// after its rest, by one request.
func TestDeadTargetIsPassedOver(t *testing.T) {
	sum := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %v", r.Host, body, err)
	}
	alive := newCounting(t, sum)
	dead, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	g := newGate(t, many("http://"+dead, alive.url), func(cfg *upstream.Config) {
		cfg.Now = func() time.Time { return time.Unix(0, clock.Load()) }
	})
	doortest.Protocols(t, func(t *testing.T, proto string) {
		client := g.client(t, proto)
		for i := range 10 {
			body := strings.Repeat(fmt.Sprint(i), 100_000)
			res := doortest.Open(t, client, "POST", "http://door.test/crm/", strings.NewReader(body))
			got, _ := io.ReadAll(res.Body)
			if want := fmt.Sprintf("%s %s <nil>", strings.TrimPrefix(alive.url, "http://"), body); string(got) != want {
				t.Fatalf("request %d: %s, %d bytes", i, res.Status, len(got))
			}
			clock.Add(int64(300 * time.Millisecond)) // so that the rest ends every now and then
		}
	})

	// It comes back, and is used when its rest is over.
	l, err := net.Listen("tcp", dead)
	if err != nil {
		t.Fatal(err)
	}
	back := newCounting(t, doortest.Echo)
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { back.calls.Add(1); doortest.Echo(w, r) }))
	}()
	defer func() { _ = l.Close() }()
	client := g.client(t, "h2")
	clock.Add(int64(2 * time.Second))
	for range 10 {
		doortest.Do(t, client, "GET", "http://door.test/crm/")
	}
	if n := back.calls.Load(); n < 4 {
		t.Errorf("%d calls at the target that is back", n)
	}
}

// TestOneTriesForAll: when the rest of a target is over that lets connections wait, one request waits for it, and
// no other does.
func TestOneTriesForAll(t *testing.T) {
	alive, trust := secure(t, doortest.Echo)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tried atomic.Int64
	go func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			tried.Add(1)
			t.Cleanup(func() { _ = c.Close() }) // it never shakes hands
		}
	}()
	t.Cleanup(func() { _ = mute.Close() })
	var clock atomic.Int64
	cfg := upstream.Config{DialTimeout: 500 * time.Millisecond, Now: func() time.Time { return time.Unix(0, clock.Load()) }}
	trust(&cfg)
	set := upstream.New(cfg)
	svc, _ := parse(t, many("https://"+mute.Addr().String(), alive)).Get("crm")
	call := func() {
		res, err := set.RoundTrip(svc, nil, httptest.NewRequest("GET", "/", nil))
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	call()
	call() // one of the two finds out
	for round := range 3 {
		before := tried.Load()
		clock.Add(int64(1100 * time.Millisecond))
		var group sync.WaitGroup
		for range 20 {
			group.Go(call)
		}
		group.Wait()
		if n := tried.Load() - before; n != 1 {
			t.Errorf("round %d: %d requests waited for the dead target", round, n)
		}
	}
}

// TestNothingIsSentTwice: a target that had the request and broke off is not followed by another.
func TestNothingIsSentTwice(t *testing.T) {
	var calls atomic.Int64
	breaks := func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}
	g := newGate(t, many(plain(t, breaks), plain(t, breaks)))
	a := doortest.Do(t, g.client(t, "h2"), "POST", "http://door.test/crm/", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("once")) })
	if p := a.Problem(t); a.StatusCode != http.StatusBadGateway || p.Code != outbound.ReasonBroken || calls.Load() != 1 {
		t.Errorf("%d %+v after %d calls", a.StatusCode, p, calls.Load())
	}
}

// TestAllTargetsDead: the last failure is told, and a body is let go of.
func TestAllTargetsDead(t *testing.T) {
	g := newGate(t, many(closedPort(t), closedPort(t)))
	doortest.Protocols(t, func(t *testing.T, proto string) {
		for range 3 {
			a := doortest.Do(t, g.client(t, proto), "POST", "http://door.test/crm/", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("x")) })
			if p := a.Problem(t); a.StatusCode != http.StatusBadGateway || p.Code != outbound.ReasonUnreachable {
				t.Errorf("%d %+v", a.StatusCode, p)
			}
		}
	})
}

func TestFailures(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	slow := plain(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	trusted, trust := secure(t, doortest.Echo)
	untrusted := httptest.NewTLSServer(http.HandlerFunc(doortest.Echo))
	untrusted.Config.ErrorLog = quiet
	t.Cleanup(untrusted.Close)
	open := plain(t, doortest.Echo)
	const shut = "127.0.0.0/8, \"::1/128\""
	for name, test := range map[string]struct {
		services string
		status   int
		code     string
	}{
		"refused":    {crm(closedPort(t)), 502, outbound.ReasonUnreachable},
		"unresolved": {crm("http://no-such-host.invalid"), 502, outbound.ReasonUnresolved},
		"untrusted":  {crm(untrusted.URL), 502, outbound.ReasonTLS},
		"another":    {crm(strings.Replace(trusted, "127.0.0.1", "localhost", 1)), 502, outbound.ReasonTLS},
		"no TLS":     {crm(strings.Replace(open, "http:", "https:", 1)), 502, outbound.ReasonTLS},
		"guarded":    {strings.Replace(crm(open), shut, "10.0.0.0/8", 1), 502, outbound.ReasonDial},
		"metadata":   {crm("http://169.254.169.254"), 502, outbound.ReasonDial},
		"mute":       {crm(plain(t, doortest.Breaking(""))), 502, outbound.ReasonBroken},
		"noise":      {crm(plain(t, doortest.Breaking("SSH-2.0-OpenSSH_9\r\n"))), 502, outbound.ReasonBroken},
		"unasked":    {crm(plain(t, doortest.Breaking("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))), 502, outbound.ReasonBroken},
		"unnamed":    {crm(plain(t, doortest.Breaking("HTTP/1.1 101 Switching Protocols\r\n\r\n"))), 502, outbound.ReasonBroken},
		"slow":       {crm(slow, "timeout: 100ms"), 504, outbound.ReasonTimeout},
		"both shut":  {strings.Replace(many("http://127.0.0.1:1", "http://127.0.0.1:2"), "127.0.0.0/8", "10.0.0.0/8", 1), 502, outbound.ReasonDial},
	} {
		t.Run(name, func(t *testing.T) {
			change := []func(*upstream.Config){trust}
			if name == "untrusted" { // all test servers have one certificate
				change = nil
			}
			g := newGate(t, test.services, change...)
			doortest.Protocols(t, func(t *testing.T, proto string) {
				a := doortest.Do(t, g.client(t, proto), "GET", "http://door.test/crm/")
				if p := a.Problem(t); a.StatusCode != test.status || p.Code != test.code {
					t.Errorf("%d %+v", a.StatusCode, p)
				}
				if strings.Contains(a.Text, "127.0.0.1") || strings.Contains(a.Text, "invalid\"") || strings.Contains(a.Text, "169.254") {
					t.Errorf("names the address: %s", a.Text)
				}
				if o := g.outcome(t); o.Err == nil || o.Err.Reason != test.code || o.Status != test.status {
					t.Errorf("ended as %+v", o)
				}
			})
		})
	}
}

// TestRoundTripErrorsAreFaults also where nobody is left to hear.
func TestRoundTripErrorsAreFaults(t *testing.T) {
	set := upstream.New(upstream.Config{})
	svc, _ := parse(t, crm(closedPort(t))).Get("crm")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for want, ctx := range map[string]context.Context{outbound.ReasonUnreachable: t.Context(), outbound.ReasonGone: ctx} {
		_, err := set.RoundTrip(svc, nil, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Reason != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
