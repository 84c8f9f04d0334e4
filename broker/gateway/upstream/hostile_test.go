package upstream_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/intercom-broker/intercom/broker/hygiene/doortest"
)

// corpus is what a gateway is asked of it.
func corpus(t *testing.T) []doortest.Request {
	t.Helper()
	requests := doortest.Corpus(t, basic, userID)
	for i, r := range requests {
		// A method that nobody serves is 405 where routes have methods (RFC 9110, section 15.5.6).
		requests[i].Status = strings.Replace(r.Status, "501", "405", 1)
	}
	return requests
}

// newHostileGate has crm and keyed, both at one recorder.
func newHostileGate(t *testing.T) (*gate, *doortest.Recorder) {
	t.Helper()
	up := &doortest.Recorder{}
	url := plain(t, up.ServeHTTP)
	return newGate(t, crm(url)+named("keyed", url)), up
}

// testHostile sends the corpus as it is written: no client library would.
func testHostile(t *testing.T) {
	g, up := newHostileGate(t)
	for _, r := range corpus(t) {
		if r.Name == "http2 preface" {
			r.Status = "405" // without TLS the listener lets it pass, and its method is refused
		}
		t.Run(r.Name, func(t *testing.T) {
			c, err := net.Dial("tcp", g.addr["http/1.1"])
			if err != nil {
				t.Fatal(err)
			}
			r.Send(t, c, up)
		})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.outcomes {
		if o.Err != nil && strings.HasPrefix(o.Err.Reason, "UPSTREAM") {
			t.Errorf("a service was blamed: %+v", o)
		}
	}
}

// testHostileHTTP2 sends frames with what the corpus says, as far as HTTP/2 can say it: it has no lines and no
// lengths to disagree about, and the fields of a connection are malformed in it (RFC 9113, section 8.2.2).
func testHostileHTTP2(t *testing.T) {
	g, up := newHostileGate(t)
	sent := 0
	for _, r := range corpus(t) {
		fields, body, ok := frames(&r)
		if !ok {
			continue
		}
		sent++
		t.Run(r.Name, func(t *testing.T) {
			up.Take()
			status := g.sendFrames(t, fields, body)
			if status != r.Status {
				t.Errorf("status %s, want %s", status, r.Status)
			}
			r.Check(t, up.Take())
		})
	}
	if sent < 30 {
		t.Errorf("only %d requests can be said in HTTP/2", sent)
	}
}

// frames returns the request's fields and its body, and false for what is about lines or lengths.
func frames(r *doortest.Request) (fields []hpack.HeaderField, body string, ok bool) {
	head, body, _ := strings.Cut(r.Raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	part := strings.Split(lines[0], " ")
	if len(part) != 3 || part[0] == "PRI" || r.Closed && !strings.Contains(part[1], "%zz") {
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
			r.Status, r.Reached, r.Decided = "400", false, true
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		case "cookie": // may come in pieces (RFC 9113, section 8.2.3)
			r.Status, r.Reached, r.Lacks = "200", true, append(r.Lacks, "Cookie")
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		case "transfer-encoding", "trailer":
			body = "abc"
		default:
			rest = append(rest, hpack.HeaderField{Name: name, Value: value})
		}
	}
	return append(append(fields, hpack.HeaderField{Name: ":authority", Value: authority}), rest...), body, true
}

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
