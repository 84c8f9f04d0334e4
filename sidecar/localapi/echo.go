package localapi

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
)

// echo watches one exchange with a service for the token that was sent: the application must not be handed
// it, also when the service says it back.
type echo struct {
	token string
	sent  bool // the request got a connection, the last time that it asked for one
}

func (e *echo) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { e.sent = false },
		GotConn: func(httptrace.GotConnInfo) { e.sent = true },
		// Runs before ReverseProxy's own, which passes on what is left.
		Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { e.scrub(http.Header(h)); return nil },
	}
}

// watch scrubs the header now, and the trailer when it is there.
func (e *echo) watch(resp *http.Response) {
	e.scrub(resp.Header)
	if resp.StatusCode != http.StatusSwitchingProtocols { // whose body is a connection
		resp.Body = &watchedBody{ReadCloser: resp.Body, resp: resp, echo: e}
	}
}

// scrub empties the fields that hold the token. They stay in the map: ReverseProxy counts the trailers that
// were announced.
func (e *echo) scrub(h http.Header) {
	for name, values := range h {
		for _, v := range values {
			if e.token != "" && strings.Contains(v, e.token) {
				h[name] = nil
				break
			}
		}
	}
}

// watchedBody scrubs the trailer at its end.
type watchedBody struct {
	io.ReadCloser
	resp *http.Response
	echo *echo
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.echo.scrub(b.resp.Trailer)
	}
	return n, err
}
