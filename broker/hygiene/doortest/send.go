package doortest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// patience ends a test whose door does not answer.
const patience = 30 * time.Second

// Send sends a request over a new connection, which no client library would, and tests the answer and what arrives.
func (r Request) Send(t *testing.T, c net.Conn, up *Recorder) {
	t.Helper()
	up.Take()
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	// What follows on the same connection is answered only where it may be kept.
	const next = "GET /crm" + pathNext + " HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\n\r\n"
	go func() { _, _ = io.WriteString(c, r.Raw+next) }()
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if strconv.Itoa(res.StatusCode) != r.Status {
		t.Errorf("status %d, want %s", res.StatusCode, r.Status)
	}
	if _, err := in.Peek(1); (err != nil) != r.Closed {
		t.Errorf("closed: %v, want %v", err, r.Closed)
	}
	r.Check(t, up.Take())
}

// Check tests what arrived at the upstream; nil means nothing.
func (r Request) Check(t *testing.T, got *Seen) {
	t.Helper()
	if r.Decided && (got != nil) != r.Reached {
		t.Errorf("reached the upstream: %v, want %v", got != nil, r.Reached)
	}
	if got == nil {
		return
	}
	for _, name := range r.Lacks {
		if v, ok := got.Header[name]; ok {
			t.Errorf("%s arrived: %q", name, v)
		}
	}
	for _, want := range r.Has {
		if v := got.Header[want[0]]; len(v) != 1 || v[0] != want[1] {
			t.Errorf("%s arrived as %q, want %q", want[0], v, want[1])
		}
	}
	if r.URI != "" && got.URI != r.URI {
		t.Errorf("arrived at %s, want %s", got.URI, r.URI)
	}
}

// SendRest sends the beginning of a request over a new connection, and once it is answered, which must not wait for the
// end, the rest. It must not be taken for a request: the connection is closed, and nothing more is said.
func SendRest(t *testing.T, c net.Conn, begin, rest string) {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, begin)
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	_, _ = io.WriteString(c, rest)
	if more, err := io.ReadAll(in); len(more) > 0 || !res.Close || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("closes: %v, and then came %q, %v", res.Close, more, err)
	}
}
