package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// pool is the connections to one service.
type pool struct {
	service   *service.Service // the first one that it was made for
	set       *Set
	transport *http.Transport // which shows no certificate
	targets   []*target
	turn      atomic.Uint64

	mu    sync.Mutex // held to make the next one
	bound atomic.Pointer[boundTransport]
}

// boundTransport is the way with one certificate of ours. Its connections were made with that one, so a request whose
// token is bound to it goes over no others (RFC 8705, section 3).
type boundTransport struct {
	shown     *tls.Certificate
	transport *http.Transport
}

func (p *pool) newTransport(shown *tls.Certificate) *http.Transport {
	cfg := outbound.Config{
		Dial: p.service.Upstream.Dial, RootCAs: p.set.cfg.RootCAs, DialTimeout: p.set.cfg.DialTimeout,
		HeaderTimeout: cmp.Or(passOf(p.service).Timeout, p.set.cfg.HeaderTimeout),
	}
	if shown != nil {
		cfg.Certificates = []tls.Certificate{*shown}
	}
	return outbound.Transport(cfg)
}

// way returns the transport for a certificate. When ours is renewed, what is under way is finished with the former.
func (p *pool) way(shown *tls.Certificate) *http.Transport {
	if shown == nil {
		return p.transport
	}
	if b := p.bound.Load(); b != nil && b.shown == shown {
		return b.transport
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	former := p.bound.Load()
	if former != nil && former.shown == shown {
		return former.transport
	}
	b := &boundTransport{shown, p.newTransport(shown)}
	p.bound.Store(b)
	if former != nil {
		former.transport.CloseIdleConnections()
	}
	return b.transport
}

func (p *pool) closeIdle() {
	p.transport.CloseIdleConnections()
	if b := p.bound.Load(); b != nil {
		b.transport.CloseIdleConnections()
	}
}

// target is one place of a service.
type target struct {
	url   *url.URL
	rests atomic.Int64 // until when, in Unix nanoseconds; 0 where it can be dialled
}

// rest is how long a target is left alone that could not be connected to.
const rest = time.Second

func (t *target) name(r *http.Request) {
	r.URL.Scheme, r.URL.Host, r.Host = t.url.Scheme, t.url.Host, ""
}

func (p *pool) roundTrip(shown *tls.Certificate, r *http.Request) (*http.Response, error) {
	way := p.way(shown)
	if len(p.targets) == 1 { // there is nowhere else to go, and nothing to pay for it
		p.targets[0].name(r)
		return way.RoundTrip(r)
	}
	return p.several(way, r)
}

// several tries one target after another until there is a connection. It begins none after twice the time
// for one: a browser waits for a single dead target, not for all of them.
func (p *pool) several(way *http.Transport, r *http.Request) (*http.Response, error) {
	now, cfg := p.set.cfg.Now, &p.set.cfg
	tries, began := tries{body: r.Body}, now()
	ctx := httptrace.WithClientTrace(r.Context(), tries.trace())
	err := error(errNowhere)
	for _, t := range p.order(began) {
		if now().Sub(began) > 2*cfg.DialTimeout {
			break
		}
		var res *http.Response
		if res, err = way.RoundTrip(tries.request(ctx, r, t)); err == nil || tries.connected.Load() || tries.read.Load() {
			t.works()
			return res, err
		}
		if r.Context().Err() != nil {
			break // which says nothing about the target
		}
		t.rests.Store(now().Add(rest).UnixNano())
		cfg.Logger.WarnContext(ctx, "upstream: a target is left alone for a second", "service", p.service.Name, "target", t.url.Host,
			"reason", outbound.Failure(err).Code(), "error", err)
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, err
}

// errNowhere is what a service without targets fails with.
const errNowhere hygiene.Error = "the service has no target"

// order returns the targets as they are to be tried: those that can be dialled by turns, and after them those
// that rest, because a failure of ours would be no better than theirs.
func (p *pool) order(now time.Time) []*target {
	n, turn := uint64(len(p.targets)), p.turn.Add(1)
	order, resting := make([]*target, 0, n), make([]*target, 0, n)
	for i := range n {
		t := p.targets[(turn+i)%n]
		if t.rests.Load() == 0 || len(order) == 0 && t.claim(now, p.set.cfg.DialTimeout) {
			order = append(order, t)
		} else {
			resting = append(resting, t)
		}
	}
	return append(order, resting...)
}

// claim reports whether t's rest is over and the request is the first to come after it. That one tries t for
// all: a target that swallows packets would make each of them wait.
func (t *target) claim(now time.Time, patience time.Duration) bool {
	until := t.rests.Load()
	return now.UnixNano() >= until && t.rests.CompareAndSwap(until, now.Add(patience).UnixNano())
}

func (t *target) works() {
	if t.rests.Load() != 0 {
		t.rests.Store(0)
	}
}

// tries is one request on its way from target to target.
type tries struct {
	body      io.ReadCloser
	connected atomic.Bool // the last look for a connection found one
	read      atomic.Bool // something of the body is gone
}

// trace tells whether a failure came before there was a connection: its type does not, since a handshake may
// fail like the answer to a request. Transport may look more than once, where an idle connection was closed and
// nothing is lost.
func (t *tries) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { t.connected.Store(true) },
	}
}

// request returns r for one target. Each has its own: a Transport may look at one that has failed for a while
// yet.
func (t *tries) request(ctx context.Context, r *http.Request, to *target) *http.Request {
	next, where := r.WithContext(ctx), *r.URL
	next.URL = &where
	to.name(next)
	if r.Body != nil && r.Body != http.NoBody {
		next.Body = (*triedBody)(t)
	}
	return next
}

// triedBody is the request's body, which a Transport must not close as long as another may want it.
type triedBody tries

// Read implements [io.Reader].
func (b *triedBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.body.Read(p)
}

// Close implements [io.Closer].
func (b *triedBody) Close() error {
	if !b.connected.Load() {
		return nil
	}
	b.read.Store(true)
	return b.body.Close()
}
