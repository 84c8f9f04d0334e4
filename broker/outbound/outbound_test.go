package outbound_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/outbound"
)

func TestFailure(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for want, errs := range map[string][]error{
		outbound.ReasonDial:        {dial(hygiene.ErrDial)},
		outbound.ReasonTLS:         {&tls.CertificateVerificationError{Err: errors.New("x")}, tls.RecordHeaderError{}, fmt.Errorf("x: %w", tls.AlertError(42))},
		outbound.ReasonTimeout:     {dial(os.ErrDeadlineExceeded), context.DeadlineExceeded, &net.DNSError{IsTimeout: true}},
		outbound.ReasonUnresolved:  {dial(&net.DNSError{IsNotFound: true})},
		outbound.ReasonUnreachable: {dial(syscall.ECONNREFUSED), dial(syscall.EHOSTUNREACH)},
		outbound.ReasonBroken:      {io.ErrUnexpectedEOF, syscall.ECONNRESET, errors.New("x"), outbound.ErrUnasked},
	} {
		for _, err := range errs {
			e := outbound.Failure(err)
			if e.Reason != want || !outbound.IsUpstream(e) || !errors.Is(e, err) || (e.Kind == fault.Timeout) != (want == outbound.ReasonTimeout) {
				t.Errorf("%v: %s %s, want %s", err, e.Kind, e.Reason, want)
			}
		}
	}
	for _, e := range []*fault.Error{outbound.Gone(), outbound.BadBody(io.EOF), fault.New(fault.Denied, "UPSTREAM_LIKE", ""), fault.New(fault.Unavailable, "STORE", "")} {
		if outbound.IsUpstream(e) {
			t.Errorf("%s is a service's failure", e.Reason)
		}
	}
}

func TestWriteProblem(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"a service that is broken": {fault.WithDecision(outbound.Failure(io.EOF), "d1"), http.StatusBadGateway},
		"a service that is slow":   {outbound.Failure(context.DeadlineExceeded), http.StatusGatewayTimeout},
		"a store that is away":     {fault.New(fault.Unavailable, "STORE", "x"), http.StatusServiceUnavailable},
		"a body that is too large": {fault.New(fault.TooLarge, "", "x"), http.StatusRequestEntityTooLarge},
	} {
		w := httptest.NewRecorder()
		outbound.WriteProblem(w, c.err)
		var p fault.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.status || p.Status != c.status || p.Code != fault.From(c.err).Code() ||
			w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get(fault.DecisionHeader) != p.Decision {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}

// TestTransport: the guard stands, TLS is verified, HTTP/2 is spoken, and no proxy is asked.
func TestTransport(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	roots, loopback := x509.NewCertPool(), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	roots.AddCert(s.Certificate())
	for want, cfg := range map[string]outbound.Config{
		"HTTP/2.0": {RootCAs: roots, Dial: loopback}, outbound.ReasonDial: {RootCAs: roots}, outbound.ReasonTLS: {RootCAs: x509.NewCertPool(), Dial: loopback},
	} {
		transport := outbound.Transport(cfg)
		res, err := transport.RoundTrip(httptest.NewRequest("GET", s.URL, nil))
		got := ""
		if err != nil {
			got = outbound.Failure(err).Reason
		} else {
			got = res.Proto
			_ = res.Body.Close()
		}
		if got != want || transport.IdleConnTimeout >= 5*time.Second {
			t.Errorf("%s, want %s", got, want)
		}
		transport.CloseIdleConnections()
	}
}

func TestURL(t *testing.T) {
	from, err := url.Parse("http://x/ignored?a=1;b=%zz")
	if err != nil {
		t.Fatal(err)
	}
	u := outbound.URL("/base", "/a%2Cb/%7B", from)
	if got := u.RequestURI(); got != "/base/a%2Cb/%7B?a=1;b=%zz" {
		t.Error(got)
	}
	u = outbound.URL("", "/", &url.URL{ForceQuery: true})
	if got := u.RequestURI(); got != "/?" {
		t.Error(got)
	}
}

func TestCountConn(t *testing.T) {
	a, b := net.Pipe()
	var bytes atomic.Int64
	c := outbound.CountConn(a, &bytes)
	go func() {
		_, _ = io.ReadFull(b, make([]byte, 3))
		_, _ = io.Copy(b, strings.NewReader("four"))
		_ = b.Close()
	}()
	_, _ = io.WriteString(c, "say")
	_, _ = io.ReadAll(c)
	if n := bytes.Load(); n != 7 {
		t.Errorf("%d bytes", n)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(c, "x"); err == nil { // a pipe has no half
		t.Error("still open")
	}
}
