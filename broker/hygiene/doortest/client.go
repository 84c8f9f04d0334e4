package doortest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Protocols tests over HTTP/1.1 and over HTTP/2.
func Protocols(t *testing.T, f func(t *testing.T, proto string)) {
	t.Helper()
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) { f(t, proto) })
	}
}

// Answer is what came back, whole.
type Answer struct {
	*http.Response
	// Text is its body.
	Text string
}

// Decision is the decision id that a door says.
func (a Answer) Decision() string { return a.Header.Get(fault.DecisionHeader) }

// Seen is what [Echo] says that arrived.
func (a Answer) Seen(t testing.TB) (s Seen) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Text), &s); err != nil {
		t.Fatalf("%s: %q: %v", a.Status, a.Text, err)
	}
	return s
}

// Problem is a refusal as RFC 9457 has it.
func (a Answer) Problem(t testing.TB) (p fault.Problem) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Text), &p); err != nil || a.Header.Get("Content-Type") != "application/problem+json" || p.Status != a.StatusCode {
		t.Fatalf("%s: no problem: %q, %v", a.Status, a.Text, err)
	}
	return p
}

// Do sends a request without a body, unless change gives it one.
func Do(t testing.TB, c *http.Client, method, url string, change ...func(*http.Request)) Answer {
	t.Helper()
	return Read(t, send(t.Context(), t, c, method, url, nil, change)) //nolint:bodyclose // Read does
}

// Read reads an answer to its end.
func Read(t testing.TB, res *http.Response) Answer {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{res, string(text)}
}

// Open sends a request, and returns the answer with its body unread. Both last until the test ends.
func Open(t testing.TB, c *http.Client, method, url string, body io.Reader, change ...func(*http.Request)) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	res := send(ctx, t, c, method, url, body, change)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func send(ctx context.Context, t testing.TB, c *http.Client, method, url string, body io.Reader, change []func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Header sets a header, for [Do] and [Open].
func Header(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = values }
}

// TraceEarly collects the interim answers.
func TraceEarly(ctx context.Context, into *[]http.Header) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		*into = append(*into, http.Header(h))
		return nil
	}})
}

// Converse sends lines to [EchoLines], each once the one before has come back.
func Converse(t *testing.T, c *http.Client, url string) {
	t.Helper()
	in, out := io.Pipe()
	lines := bufio.NewReader(Open(t, c, http.MethodPost, url, in).Body) //nolint:bodyclose // Open does
	for _, line := range []string{"one\n", strings.Repeat("two ", 10_000) + "\n", "three\n"} {
		if _, err := io.WriteString(out, line); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != line {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	_ = out.Close()
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
}
