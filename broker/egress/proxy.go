package egress

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"sync/atomic"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// newProxy returns the one ReverseProxy. What is particular to a request it finds in the request's act.
func (h *Handler) newProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: rewrite, ModifyResponse: receive, ErrorHandler: fail, Transport: roundTripper{}, BufferPool: &outbound.Buffers{}, ErrorLog: h.log,
	}
}

// stream sends the request on and the answer back. It answers failures itself.
func (a *act) stream() {
	// ReverseProxy copies the header that it is given, and keeps most of it. It is given none of the caller's.
	r := a.in.WithContext(a)
	r.Header = nil
	if hygiene.IsUpgrade(a.in) {
		r.Header = http.Header{"Connection": a.header["Connection"], "Upgrade": a.header["Upgrade"]}
	}
	switch {
	case a.whole:
		a.setBody(r)
	case r.ContentLength != 0:
		a.sent.ReadCloser, a.sent.act = r.Body, a
		r.Body = &a.sent
		// Otherwise net/http takes what is left of an HTTP/1 body as soon as an answer begins: from under the
		// transport, which then closes the upstream's connection in the middle of that answer. HTTP/2 has no
		// such notion, and says so.
		_ = http.NewResponseController(&a.writer).EnableFullDuplex()
	}
	a.handler.proxy.ServeHTTP(&a.writer, r)
	if r.ContentLength != 0 && r.ProtoMajor == 1 && !a.sent.ended.Load() {
		outbound.Drain(&a.writer, a.in.Body)
	}
}

type roundTripper struct{}

// RoundTrip uses the connections of the act's upstream.
func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	a := actOf(r)
	res, err := a.transport().RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusUnauthorized && a.upstream.rotates {
		return a.again(r, res)
	}
	return res, err
}

func (a *act) transport() *http.Transport {
	p := a.pools
	if p == nil {
		p = a.upstream.pools
	}
	if isGRPC(a.in) {
		return p.grpc
	}
	return p.http
}

// rewrite names the place, and gives the upstream the header that was built.
func rewrite(pr *httputil.ProxyRequest) {
	a := actOf(pr.In)
	*pr.Out.URL = a.where()
	pr.Out.Header, pr.Out.Host, pr.Out.Trailer = a.header, a.host, nil
}

// receive looks at the upstream's answer before the caller sees it. Statuses and bodies pass as they are:
// also errors are the upstream's to word.
func receive(res *http.Response) error {
	a := actOf(res.Request)
	a.scrub(res.Header)
	res.Header[fault.DecisionHeader] = []string{a.grant.ID}
	if res.StatusCode == http.StatusSwitchingProtocols {
		if !hygiene.IsUpgrade(a.in) {
			return outbound.ErrUnasked
		}
		return nil
	}
	if a.in.ProtoMajor == 1 && a.in.ContentLength != 0 && !a.sent.ended.Load() {
		// An answer before its request's end. What is left of the body must not be taken for a request.
		res.Header["Connection"] = []string{"close"}
	}
	a.scrub(res.Trailer)
	a.received = responseBody{ReadCloser: res.Body, act: a, res: res}
	if a.in.ContentLength != 0 {
		// The HTTP/2 transport does not see that the context ended while it reads from a caller who is silent.
		upstream := res.Body
		a.received.stop = context.AfterFunc(a, func() { _ = upstream.Close() })
	}
	res.Body = &a.received
	return nil
}

// requestBody counts, and keeps what goes wrong on the caller's side, so that nobody blames the upstream:
// net/http ends the request's context with it, and what the transport then says first is a matter of luck.
type requestBody struct {
	io.ReadCloser
	act   *act
	ended atomic.Bool // with EOF
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.act.bytes.Add(int64(n))
	switch err {
	case nil:
	case io.EOF:
		b.ended.Store(true)
	default:
		b.act.broken.Store(&err)
	}
	return n, err
}

// responseBody counts, remembers what ended the stream, and looks at the trailer, which is complete when
// the body is closed.
type responseBody struct {
	io.ReadCloser
	act  *act
	res  *http.Response
	stop func() bool // nil where the request has no body
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.act.bytes.Add(int64(n))
	if err != nil && err != io.EOF {
		b.act.outcome.Err = b.act.classify(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	if b.stop != nil {
		b.stop()
	}
	err := b.ReadCloser.Close()
	b.act.scrub(b.res.Trailer)
	return err
}
