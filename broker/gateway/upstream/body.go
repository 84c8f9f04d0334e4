package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// requestBody counts, and keeps what goes wrong on the browser's side, so that nobody blames the service:
// net/http ends the request's context with it, and what the transport then says first is a matter of luck.
type requestBody struct {
	io.ReadCloser
	call  *call
	ended atomic.Bool // with EOF
}

// Read implements [io.Reader].
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.call.bytes.Add(int64(n))
	switch err {
	case nil:
	case io.EOF:
		b.ended.Store(true)
	default:
		b.call.broken.Store(&err)
	}
	return n, err
}

// receiveBody puts itself between the answer's body and its reader.
func (c *call) receiveBody(res *http.Response) {
	if c.in.ProtoMajor == 1 && c.in.ContentLength != 0 && !c.sent.ended.Load() {
		// An answer before its request's end. What is left of the body must not be taken for a request.
		res.Header["Connection"] = []string{"close"}
	}
	scrub(res.Trailer)
	body := res.Body
	c.received = responseBody{ReadCloser: body, call: c, res: res, patience: c.set.cfg.IdleTimeout}
	if c.in.ContentLength != 0 {
		// The HTTP/2 transport does not see that the context ended while it reads from a browser that is silent.
		c.received.stop = context.AfterFunc(c, func() { _ = body.Close() })
	}
	res.Body = &c.received
}

// responseBody counts, remembers what ended the stream, bounds silence, and looks at the trailer, which is
// complete when the body is closed.
type responseBody struct {
	io.ReadCloser
	call     *call
	res      *http.Response
	stop     func() bool // nil where the request has no body
	patience time.Duration
	timer    *time.Timer
}

// Read implements [io.Reader]. What the browser takes to read is no silence of the service's.
func (b *responseBody) Read(p []byte) (int, error) {
	if b.patience > 0 {
		b.wait()
		defer b.timer.Stop()
	}
	n, err := b.ReadCloser.Read(p)
	b.call.bytes.Add(int64(n))
	if err != nil && err != io.EOF {
		b.call.failure = b.call.classify(err)
	}
	return n, err
}

func (b *responseBody) wait() {
	if b.timer != nil {
		b.timer.Reset(b.patience)
		return
	}
	silent := fault.New(fault.Timeout, outbound.ReasonTimeout, "the service fell silent in the middle of its answer")
	b.timer = time.AfterFunc(b.patience, func() { b.call.cancel(silent) })
}

// Close implements [io.Closer].
func (b *responseBody) Close() error {
	if b.stop != nil {
		b.stop()
	}
	err := b.ReadCloser.Close()
	scrub(b.res.Trailer)
	return err
}

// writer is the browser's side. It remembers what was answered.
type writer struct {
	http.ResponseWriter
	call   *call
	status int // 0 before the answer, 101 after an upgrade
}

// Unwrap lets http.ResponseController flush.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *writer) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err != nil && w.call.failure == nil {
		w.call.failure = outbound.Gone()
	}
	return n, err
}

// Hijack is how ReverseProxy takes the connection after a 101.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.status = http.StatusSwitchingProtocols
	return &socket{Conn: outbound.CountConn(c, &w.call.bytes), call: w.call}, rw, nil
}
