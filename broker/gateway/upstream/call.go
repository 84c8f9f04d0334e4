package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// Reasons of a failed call beside those of package outbound.
const (
	ReasonTooLarge = "REQUEST_TOO_LARGE" // the body is over the route's limit
	ReasonEnded    = "SESSION_ENDED"     // the context that Opened returned has ended
)

// Call is one request to one service: where to, what with, and what the caller has to say about it. Hooks may
// be nil.
type Call struct {
	// Service is the route's; what its file passes applies.
	Service *service.Service
	// Path is the canonical path as it was decided on: see Path.
	Path string
	// Header is all that the service gets, but for cookies and an upgrade, which are added to it. Nothing is
	// taken from the request's own.
	Header http.Header
	// Certificate is shown to the service if it asks for one: the one that the token in Header is bound to. Nil shows
	// none.
	Certificate *tls.Certificate
	// Via sends the request in place of the service's own connections, to http://NAME of the service and without
	// its base path: the broker's egress door, which puts the credential in. Nil is the usual way.
	Via http.RoundTripper
	// Anonymous says that the answer is nobody's in particular: caches may keep it as the service says.
	Anonymous bool

	// Modify sees the head of the answer when it has been cleaned, and may change it; what it puts there is not
	// looked at again. An error is answered in the service's place.
	Modify func(*http.Response) error
	// Refuse answers a failure, if nothing was answered yet; nil means outbound.WriteProblem.
	Refuse func(http.ResponseWriter, *http.Request, *fault.Error)
	// Again is told of a 401 when the request could be sent once more, having no body. If it returns a header,
	// the request is sent again with that in Header's place, once.
	Again func(*http.Response) http.Header
	// Opened is told of an answer that may last: 101, or an event stream. The call is broken off when the
	// context that it returns ends. Its cause is the failure, if that is a fault, and a WebSocket is told of it by
	// a Close frame: 4401 where nobody is logged in any more, 4403 where it is not allowed, 1012 where we go away.
	Opened func(*http.Response) context.Context
	// Ended is told how the call ended, also when it was broken off.
	Ended func(Outcome)
}

// Outcome is how a call ended.
type Outcome struct {
	// Status is what was answered, 0 when nothing was.
	Status int
	// Bytes are those of both bodies, or of the upgraded connection.
	Bytes int64
	// Err is why the call failed; nil when it did not. A status of the service's own is no failure.
	Err *fault.Error
}

// Path returns the path that policy and the service see of a canonical path: the route's prefix is taken from
// it where its whole segments stand at the beginning.
func Path(p service.Pass, path string) string {
	rest, ok := below(path, p.Strip)
	switch {
	case !ok:
		return path
	case rest == "":
		return "/"
	}
	return rest
}

// below returns what follows the segments of prefix in path.
func below(path, prefix string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, prefix)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// call is one Call on its way. It is the context of its own request to the service, so that the one
// ReverseProxy finds it again.
type call struct {
	context.Context // the request's, with an end of ours
	Call
	pass     service.Pass
	set      *Set
	in       *http.Request
	writer   writer
	cancel   context.CancelCauseFunc
	bytes    atomic.Int64
	broken   atomic.Pointer[error] // why the request's body ended early
	sent     requestBody
	received responseBody
	unwatch  func() bool // of Opened's context; nil without one
	failure  *fault.Error
}

// send goes the way that the call is to go.
func (c *call) send(r *http.Request) (*http.Response, error) {
	if c.Via != nil {
		return c.Via.RoundTrip(r)
	}
	return c.set.RoundTrip(c.Service, c.Certificate, r)
}

// url is where the request goes. The Set, or Via, names the place.
func (c *call) url() url.URL {
	if c.Via == nil {
		return outbound.URL(c.Service.Upstream.URL.EscapedPath(), c.Path, c.in.URL)
	}
	u := outbound.URL("", c.Path, c.in.URL)
	u.Scheme, u.Host = "http", c.Service.Name
	return u
}

type callKey struct{}

// Value implements [context.Context].
func (c *call) Value(key any) any {
	if key == (callKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func callOf(r *http.Request) *call { return r.Context().Value(callKey{}).(*call) }

// opened lets the session's end be the call's.
func (c *call) opened(res *http.Response) {
	if c.Opened == nil {
		return
	}
	ctx := c.Opened(res)
	if ctx == nil {
		return
	}
	c.unwatch = context.AfterFunc(ctx, func() {
		why, ok := errors.AsType[*fault.Error](context.Cause(ctx))
		if !ok {
			why = fault.New(fault.Unauthenticated, ReasonEnded, "the session ended").Because(context.Cause(ctx))
		}
		c.cancel(why)
	})
}

// end tells how it went, also when the answer was aborted by a panic of net/http's own making.
func (c *call) end() {
	if cut, ok := errors.AsType[*fault.Error](context.Cause(c.Context)); ok {
		c.failure = cut
	}
	c.cancel(nil)
	if c.unwatch != nil {
		c.unwatch()
	}
	if c.Ended != nil {
		c.Ended(Outcome{Status: c.writer.status, Bytes: c.bytes.Load(), Err: c.failure})
	}
}

// classify finds out whose failure err is.
func (c *call) classify(err error) *fault.Error {
	if cut, ok := errors.AsType[*fault.Error](context.Cause(c.Context)); ok {
		return cut
	}
	if body := c.broken.Load(); body != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](*body); ok {
			return tooLarge()
		}
		return outbound.BadBody(*body)
	}
	if c.in.Context().Err() != nil {
		return outbound.Gone()
	}
	if e, ok := errors.AsType[*fault.Error](err); ok { // of Set, or of Modify
		return e
	}
	return outbound.Failure(err)
}

func tooLarge() *fault.Error {
	return fault.New(fault.TooLarge, ReasonTooLarge, "the request's body is larger than this service takes")
}

// refuse answers with e where nothing was answered yet.
func (c *call) refuse(e *fault.Error) {
	c.failure = e
	if c.writer.status != 0 {
		return
	}
	outbound.AbandonBody(&c.writer, c.in)
	if c.Refuse != nil {
		c.Refuse(&c.writer, c.in, e)
		return
	}
	outbound.WriteProblem(&c.writer, e)
}

// header completes what the service gets: with the cookies that pass, and with the upgrade if there is one.
func (c *call) header(h http.Header) http.Header {
	if h == nil {
		h = http.Header{}
	}
	delete(h, "Cookie")
	if cookies := passing(c.in.Header["Cookie"], c.pass.Cookies); cookies != "" {
		h["Cookie"] = []string{cookies}
	}
	if hygiene.IsUpgrade(c.in) {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	return h
}
