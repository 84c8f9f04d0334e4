package upstream

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"net/http/httputil"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
)

// Proxy streams requests to services. It is safe for concurrent use.
type Proxy struct {
	set     *Set
	reverse *httputil.ReverseProxy
}

// NewProxy returns a Proxy over the connections of set.
func NewProxy(set *Set) *Proxy {
	return &Proxy{set: set, reverse: &httputil.ReverseProxy{
		Rewrite: rewrite, ModifyResponse: receive, ErrorHandler: fail, Transport: roundTripper{}, BufferPool: &outbound.Buffers{},
		ErrorLog: newLog(set.cfg.Logger),
	}}
}

// newLog is for what ReverseProxy says of itself: [Call].Ended tells the same, and better.
func newLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

// Serve sends r to what.Service and the answer to w, and answers failures itself. The request has passed
// hygiene.CheckRequest. It ends with r's context, an upgraded connection too. To fields that w's header has already
// the service's are added: what is to be said in their place belongs into what.Modify.
//
// Like net/http's own, it panics with http.ErrAbortHandler to break off an answer that has begun.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, what Call) {
	c := &call{Call: what, pass: passOf(what.Service), set: p.set, in: r}
	c.writer = writer{ResponseWriter: w, call: c}
	c.Context, c.cancel = context.WithCancelCause(r.Context())
	defer c.end()
	if r.ContentLength > c.pass.Limit() {
		c.refuse(tooLarge())
		return
	}
	c.Header = c.header(c.Header)
	p.stream(c)
}

func (p *Proxy) stream(c *call) {
	// ReverseProxy copies the header that it is given, and keeps most of it. It is given none of the browser's.
	out := c.in.WithContext(c)
	out.Header = nil
	if hygiene.IsUpgrade(c.in) {
		out.Header = http.Header{"Connection": c.Header["Connection"], "Upgrade": c.Header["Upgrade"]}
	}
	if out.ContentLength != 0 {
		c.sent.ReadCloser, c.sent.call = http.MaxBytesReader(c.writer.ResponseWriter, out.Body, c.pass.Limit()), c
		out.Body = &c.sent
		// Otherwise net/http takes what is left of an HTTP/1 body as soon as an answer begins: from under the
		// transport, which then closes the service's connection in the middle of that answer. HTTP/2 has no such
		// notion, and says so.
		_ = http.NewResponseController(&c.writer).EnableFullDuplex()
	}
	p.reverse.ServeHTTP(&c.writer, out)
	if out.ContentLength != 0 && out.ProtoMajor == 1 && !c.sent.ended.Load() {
		outbound.Drain(&c.writer, c.in.Body)
	}
}

// rewrite names the path, and gives the service the header that was built.
func rewrite(pr *httputil.ProxyRequest) {
	c := callOf(pr.In)
	*pr.Out.URL = c.url()
	pr.Out.Header, pr.Out.Host, pr.Out.Trailer = c.Header, "", nil
}

type roundTripper struct{}

// RoundTrip sends r to the call's service, and once more where a 401 may be about what was injected. It leaves
// ReverseProxy's trace behind, by which interim answers would reach the browser without anybody's look, any
// number of them, and clear the header that is to be.
func (roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	c := callOf(r)
	r = r.WithContext(c)
	res, err := c.send(r)
	if err != nil || res.StatusCode != http.StatusUnauthorized || c.Again == nil || c.in.ContentLength != 0 {
		return res, err
	}
	h := c.Again(res)
	if h == nil {
		return res, nil
	}
	_ = res.Body.Close() // and with it the connection, if need be: the rest of the answer may take its time
	next, where := r.WithContext(c), *r.URL
	next.URL, next.Header = &where, c.header(h)
	if next.Header["User-Agent"] == nil {
		next.Header["User-Agent"] = []string{""} // as ReverseProxy does, so that net/http adds none
	}
	return c.send(next)
}

// receive looks at the head of the answer before the browser sees it.
func receive(res *http.Response) error {
	c := callOf(res.Request)
	switched := res.StatusCode == http.StatusSwitchingProtocols
	if switched && !hygiene.IsUpgrade(c.in) {
		return outbound.ErrUnasked
	}
	c.clean(res)
	if c.Modify != nil {
		if err := c.Modify(res); err != nil {
			return err
		}
	}
	if switched || isEvents(res.Header) {
		c.opened(res)
	}
	if !switched {
		c.receiveBody(res)
	}
	return nil
}

// fail is ReverseProxy's ErrorHandler.
func fail(_ http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r)
	c.refuse(c.classify(err))
}
