package hygiene_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/hygiene"
)

// wire is a connection that has all of its input at once, or in pieces of one size.
type wire struct {
	net.Conn
	in    *bytes.Reader
	piece int
}

func (w *wire) Read(p []byte) (int, error) {
	return w.in.Read(p[:min(len(p), w.piece)])
}
func (w *wire) Write(p []byte) (int, error)      { return len(p), nil }
func (w *wire) Close() error                     { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func through(input string, piece, read int) []byte {
	c := hygiene.Conn(&wire{in: bytes.NewReader([]byte(input)), piece: piece})
	var out []byte
	p := make([]byte, read)
	for len(out) < len(input)+(1<<16) {
		n, err := c.Read(p)
		out = append(out, p[:n]...)
		if err != nil {
			break
		}
	}
	return out
}

// parse reads what came through as a careless server would: it must find the same requests as a careful
// one, each with one length.
func parse(t *testing.T, passed []byte) {
	t.Helper()
	r := bufio.NewReaderSize(bytes.NewReader(passed), 1<<16)
	for {
		raw, _ := r.Peek(1 << 16)
		if len(raw) == 0 || bytes.HasPrefix(raw, []byte("400\r\n\r\n")) || bytes.HasPrefix(raw, []byte("PRI * HTTP/2.0\r\n")) {
			return
		}
		head, _, whole := strings.Cut(string(raw), "\r\n\r\n")
		if !whole {
			return // longer than a head may be: net/http goes on until its own limit
		}
		careful(t, head)
		req, err := http.ReadRequest(r)
		if err != nil {
			return // net/http refuses more than we do
		}
		if req.ContentLength >= 0 != (len(req.TransferEncoding) == 0) {
			t.Fatalf("length %d and coding %q of %q", req.ContentLength, req.TransferEncoding, head)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil || strings.EqualFold(req.Header.Get("Upgrade"), "websocket") {
			return
		}
	}
}

// careful holds one head to the letter.
func careful(t *testing.T, head string) {
	t.Helper()
	lines := strings.Split(head, "\r\n")
	framings := 0
	for i, line := range lines {
		if strings.Contains(line, "\n") {
			t.Fatalf("a bare line feed passed in %q", head)
		}
		if i > 0 && strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			t.Fatalf("a folded line passed in %q", head)
		}
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		if i > 0 && (name == "content-length" || name == "transfer-encoding") {
			framings++
		}
	}
	if framings > 1 {
		t.Fatalf("two framings passed in %q", head)
	}
}

// FuzzHeadNeverSmuggles holds that what passes is read by net/http with one unambiguous length, that it is
// a prefix of what was sent, and that it does not depend on how the bytes were cut.
func FuzzHeadNeverSmuggles(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
		"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00\n\n", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\n\n", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc", "POST / HTTP/1.1\r\nContent-Length: 0x3\r\n\r\nabc", "A\r\r\n\r\n",
	} {
		f.Add(seed, 7, 3)
	}
	f.Fuzz(func(t *testing.T, input string, piece, read int) {
		piece, read = 1+(piece&0xfff), 1+(read&0xfff)
		if len(input) > 1<<15 {
			return
		}
		passed := through(input, 1<<16, 1<<16)
		if other := through(input, piece, read); !bytes.Equal(passed, other) {
			t.Fatalf("in pieces of %d and %d:\n%q, not\n%q", piece, read, other, passed)
		}
		if rest, bad := bytes.CutSuffix(passed, []byte("400\r\n\r\n")); !strings.HasPrefix(input, string(passed)) && !(bad && strings.HasPrefix(input, string(rest))) {
			t.Fatalf("%q became %q", input, passed)
		}
		parse(t, passed)
	})
}
