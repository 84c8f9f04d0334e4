package upstream_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hostile is one request of the corpus and what is expected of it.
type hostile struct {
	raw             string
	status          string
	closed, reached bool
	decided         bool // whether reaching the service is looked at
	lacks           []string
	has             [][2]string
	uri             string
}

func readHostile(t *testing.T, data []byte) (h hostile) {
	t.Helper()
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if want, ok := strings.CutPrefix(line, "> "); ok {
			h.expect(want)
			continue
		}
		end := "\r\n"
		if strings.HasSuffix(line, `\n`) {
			end, line = "\n", strings.TrimSuffix(line, `\n`)
		} else if strings.HasSuffix(line, `\c`) {
			end, line = "", strings.TrimSuffix(line, `\c`)
		}
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(line, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		h.raw += text + end
	}
	h.raw = strings.NewReplacer("DOOR", "door.test", "CRM", "crm", "KEYED", "keyed").Replace(h.raw)
	return h
}

func (h *hostile) expect(want string) {
	words := strings.SplitN(want, " ", 3)
	switch words[0] {
	case "lacks":
		h.lacks = append(h.lacks, words[1])
	case "has":
		h.has = append(h.has, [2]string{words[1], strings.NewReplacer("BASIC", basic, "KEY", userID).Replace(words[2])})
	case "uri":
		h.uri = words[1]
	default:
		// A method that nobody serves is 405 where routes have methods (RFC 9110, section 15.5.6).
		h.status, h.closed = strings.Replace(words[0], "501", "405", 1), slices.Contains(words, "closed")
		h.reached = slices.Contains(words, "reached")
		h.decided = h.reached || strings.HasSuffix(want, "not")
	}
}

// recorder is a service that keeps what arrived.
type recorder struct {
	mu   sync.Mutex
	last *seen
}

func (u *recorder) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if r.URL.Path == "/next" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = &seen{r.Method, r.Host, r.RequestURI, r.Proto, r.Header}
	for name := range r.Trailer {
		r.Header["Trailer"] = append(r.Header["Trailer"], name)
	}
}

func (u *recorder) take() *seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

func corpus(t *testing.T) []txtar.File {
	t.Helper()
	data, err := os.ReadFile("../../hygiene/testdata/hostile.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return txtar.Parse(data).Files
}

// newHostileGate has crm and keyed, both at one recorder.
func newHostileGate(t *testing.T) (*gate, *recorder) {
	t.Helper()
	up := &recorder{}
	url := plain(t, up.ServeHTTP)
	return newGate(t, crm(url)+named("keyed", url)), up
}

// testHostile sends the corpus as it is written: no client library would.
func testHostile(t *testing.T) {
	g, up := newHostileGate(t)
	for _, file := range corpus(t) {
		h := readHostile(t, file.Data)
		if file.Name == "http2 preface" {
			h.status = "405" // without TLS the listener lets it pass, and its method is refused
		}
		t.Run(file.Name, func(t *testing.T) { g.send(t, up, h) })
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.outcomes {
		if o.Err != nil && strings.HasPrefix(o.Err.Reason, "UPSTREAM") {
			t.Errorf("a service was blamed: %+v", o)
		}
	}
}

func (g *gate) send(t *testing.T, up *recorder, h hostile) {
	t.Helper()
	up.take()
	c, err := net.Dial("tcp", g.addr["http/1.1"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	// What follows on the same connection is answered only where it may be kept.
	const next = "GET /crm/next HTTP/1.1\r\nHost: door.test\r\nConnection: close\r\n\r\n"
	go func() { _, _ = io.WriteString(c, h.raw+next) }()
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if strconv.Itoa(res.StatusCode) != h.status {
		t.Errorf("status %d, want %s", res.StatusCode, h.status)
	}
	if _, err := r.Peek(1); (err != nil) != h.closed {
		t.Errorf("closed: %v, want %v", err, h.closed)
	}
	h.check(t, up.take())
}

func (h hostile) check(t *testing.T, got *seen) {
	t.Helper()
	if h.decided && (got != nil) != h.reached {
		t.Errorf("reached the service: %v, want %v", got != nil, h.reached)
	}
	if got == nil {
		return
	}
	for _, name := range h.lacks {
		if v, ok := got.Header[name]; ok {
			t.Errorf("%s arrived: %q", name, v)
		}
	}
	for _, want := range h.has {
		if v := got.Header[want[0]]; len(v) != 1 || v[0] != want[1] {
			t.Errorf("%s arrived as %q, want %q", want[0], v, want[1])
		}
	}
	if h.uri != "" && got.URI != h.uri {
		t.Errorf("arrived at %s, want %s", got.URI, h.uri)
	}
}

// testHostileHTTP2 sends frames with what the corpus says, as far as HTTP/2 can say it: it has no lines and no
// lengths to disagree about, and the fields of a connection are malformed in it (RFC 9113, section 8.2.2).
func testHostileHTTP2(t *testing.T) {
	g, up := newHostileGate(t)
	sent := 0
	for _, file := range corpus(t) {
		h := readHostile(t, file.Data)
		fields, body, ok := h.frames()
		if !ok {
			continue
		}
		sent++
		t.Run(file.Name, func(t *testing.T) {
			up.take()
			status := g.sendFrames(t, fields, body)
			if status != h.status {
				t.Errorf("status %s, want %s", status, h.status)
			}
			h.check(t, up.take())
		})
	}
	if sent < 30 {
		t.Errorf("only %d requests can be said in HTTP/2", sent)
	}
}

// frames returns the request's fields and its body, and false for what is about lines or lengths.
func (h *hostile) frames() (fields []hpack.HeaderField, body string, ok bool) {
	head, body, _ := strings.Cut(h.raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	part := strings.Split(lines[0], " ")
	if len(part) != 3 || part[0] == "PRI" || h.closed && !strings.Contains(part[1], "%zz") {
		return nil, "", false
	}
	path, authority := part[1], ""
	if _, rest, absolute := strings.Cut(path, "://"); absolute {
		var below string
		authority, below, _ = strings.Cut(rest, "/")
		path = "/" + below
	}
	fields = []hpack.HeaderField{{Name: ":method", Value: part[0]}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: path}}
	if part[0] == "CONNECT" {
		fields, authority = fields[:1], path
	}
	var rest []hpack.HeaderField
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name = strings.ToLower(name); name {
		case "host":
			if authority == "" {
				authority = value
			}
		case "connection", "upgrade", "http2-settings":
			h.malformed()
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		case "cookie": // may come in pieces (RFC 9113, section 8.2.3)
			h.status, h.reached, h.lacks = "200", true, append(h.lacks, "Cookie")
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		case "transfer-encoding", "trailer":
			body = "abc"
		default:
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		}
	}
	return append(append(fields, hpack.HeaderField{Name: ":authority", Value: authority}), rest...), body, true
}

func (h *hostile) malformed() { h.status, h.reached, h.decided = "400", false, true }

// sendFrames returns the status, or "400" for a stream or connection that was ended as an error.
func (g *gate) sendFrames(t *testing.T, fields []hpack.HeaderField, body string) string {
	t.Helper()
	c, err := net.Dial("tcp", g.addr["h2"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(c, http2.ClientPreface)
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(f)
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: body == "", EndHeaders: true})
	if body != "" {
		_ = framer.WriteData(1, true, []byte(body))
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "400"
		}
	}
}
