package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// throughEgress sends each request with the SVID in use.
type throughEgress struct{ client *Client }

// RoundTrip implements http.RoundTripper. Its own failures are *fault.Error.
func (t throughEgress) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.client.Conn().egress.roundTrip(r)
}

// egress balances requests over the brokers' egress listeners.
type egress struct {
	conn  *Conn
	doors []*door
	trip  http.RoundTripper
	turn  atomic.Uint32
}

// door is one egress listener.
type door struct {
	address string

	mu       sync.Mutex
	failures int
	until    time.Time // avoided until then
}

func newEgress(c *Conn) *egress {
	e := &egress{conn: c}
	for _, a := range c.client.cfg.EgressAddresses {
		e.doors = append(e.doors, &door{address: a})
	}
	e.trip = c.Transport(mtls.Client(c.svid, c.client.cfg.Source, c.client.authorize), nil)
	return e
}

// roundTrip tries the doors in turn. A request moves on to the next one when no connection could be had,
// since then nothing of it was sent; and, when it may be repeated anyway (RFC 9110, section 9.2.2) and has
// no body, also when the connection broke before an answer came.
func (e *egress) roundTrip(r *http.Request) (*http.Response, error) {
	body := holdBody(r)
	defer body.release()
	if f := e.conn.ended(); f != nil {
		return nil, f
	}
	err := error(fault.New(fault.Unavailable, "NO_EGRESS", "no egress address of a credential broker is configured"))
	broken := false // after something was sent
	for _, d := range e.order(time.Now()) {
		sent := false
		var resp *http.Response
		if resp, err = e.trip.RoundTrip(d.request(r, body, &sent)); err == nil {
			d.worked()
			e.conn.client.cfg.Metrics.sent("ok")
			return resp, nil
		}
		if r.Context().Err() != nil {
			break
		}
		if !sent {
			d.failed(time.Now())
			e.conn.client.cfg.Metrics.sent("unreachable")
			continue
		}
		broken = true
		e.conn.client.cfg.Metrics.sent("failed")
		if !repeatable(r) {
			break
		}
	}
	return nil, e.read(r.Context(), err, broken)
}

// order returns the doors, the next in turn first and those that are avoided last.
func (e *egress) order(now time.Time) []*door {
	n := len(e.doors)
	if n == 0 {
		return nil
	}
	first := int(e.turn.Add(1)) % n
	order := make([]*door, 0, n)
	var avoided []*door
	for i := range n {
		if d := e.doors[(first+i)%n]; d.avoid(now) {
			avoided = append(avoided, d)
		} else {
			order = append(order, d)
		}
	}
	return append(order, avoided...)
}

// request is r as it goes to d. sent says whether it got a connection, the last time that it asked for one:
// the transport asks again when nothing was sent on the first.
func (d *door) request(r *http.Request, body *heldBody, sent *bool) *http.Request {
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { *sent = false },
		GotConn: func(httptrace.GotConnInfo) { *sent = true },
	}
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	to := *r.URL
	to.Scheme, to.Host = "https", d.address
	out.URL = &to
	if out.Host == "" {
		out.Host = r.URL.Host
	}
	if body != nil {
		out.Body = body.again()
	}
	return out
}

func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.Body == nil || r.Body == http.NoBody
	default:
		return false
	}
}

// ReasonBroken is the reason of failures of a request that was sent and whose answer did not come: it may
// have been carried out, so its caller must not be asked to come again.
const ReasonBroken = "UPSTREAM_BROKEN"

// read says in the words of package fault why there is no answer.
func (e *egress) read(ctx context.Context, err error, broken bool) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Timeout, "", "the caller did not wait for the answer").Because(ctx.Err())
	case e.conn.client.impostor.Load() != nil:
		return e.conn.client.unreachable(err)
	case broken && !turnedAway(err):
		return fault.New(fault.Unavailable, ReasonBroken, "the request was sent, and the connection broke before it was answered").Because(err)
	}
	return fault.Newf(fault.Unavailable, "EGRESS_UNREACHABLE",
		"no credential broker took the request at %s: check that it runs, and that this is its egress listener",
		strings.Join(e.conn.client.cfg.EgressAddresses, ", ")).Because(err)
}

// turnedAway reports whether the other side ended the TLS connection by an alert. In TLS 1.3 our
// certificate is refused only after we may send (RFC 8446, section 4.4.2.4), and nothing of it is read.
func turnedAway(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

func (d *door) avoid(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Before(d.until)
}

func (d *door) worked() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures, d.until = 0, time.Time{}
}

// failed avoids d for a while: long enough that a broker that is cut off costs a request now and then the
// dial's time limit, short enough that one that is back gets its share.
func (d *door) failed(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = now.Add(watchPause(d.failures))
	d.failures++
}
