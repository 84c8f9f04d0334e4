package hygiene

import (
	"bytes"
	"io"
)

// MaxHead bounds a request's head, and each line between the chunks of a body.
const MaxHead = 32 << 10

// ErrFraming is what reading a body gives whose chunks are not framed as RFC 9112, section 7.1 has it: a
// failure of the client, whoever else has heard of it by then.
const ErrFraming Error = "the chunked body is not well framed"

// head is what of a request's head decides where the request ends and whom it is for.
type head struct {
	http10, chunked, websocket bool
	hosts, lengths, codings    int
	length                     int64
	target, host               []byte
}

// scan takes one step through buf, and reports whether there was enough of it.
func (c *conn) scan() bool {
	if c.rest > 0 {
		c.ready = int(min(c.rest, int64(len(c.buf))))
		c.rest, c.seen = c.rest-int64(c.ready), c.ready
		return c.ready > 0
	}
	line, _, found := bytes.Cut(c.buf[c.seen:], []byte{'\n'})
	if !found && len(c.buf) <= MaxHead {
		return false
	}
	c.seen += len(line) + 1
	line, crlf := bytes.CutSuffix(line, []byte{'\r'})
	if !found && !c.head.chunked {
		c.endless, c.ready = true, len(c.buf)
	} else if !found || !crlf || !c.next(c, line) {
		c.refuse()
	}
	return true
}

// refuse ends what can be read: in a head with one that net/http answers 400, after what it still has to
// answer; in a body with an error.
func (c *conn) refuse() {
	c.failed = io.EOF
	if c.head.chunked {
		c.failed, c.buf, c.ready = ErrFraming, nil, 0
		return
	}
	c.buf = []byte("400\r\n\r\n")
	c.ready = len(c.buf)
}

// The functions below take one line each, say by c.next what kind the following line is, and by c.ready
// how far all may be read. A line that they report false for is refused.

func (c *conn) requestLine(line []byte) bool {
	first := c.preface
	c.preface = false
	if first && string(line) == "PRI * HTTP/2.0" { // RFC 9113, section 3.4
		c.rest, c.seen = 1<<62, 0
		return true
	}
	_, rest, _ := bytes.Cut(line, []byte{' '})
	target, version, _ := bytes.Cut(rest, []byte{' '})
	c.head = head{target: target, http10: string(version) == "HTTP/1.0"}
	c.next = (*conn).fieldLine
	return c.head.http10 || string(version) == "HTTP/1.1"
}

func (c *conn) fieldLine(line []byte) bool {
	if len(line) == 0 {
		return c.endOfHead()
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.Trim(value, " \t")
	ok, h := true, &c.head
	switch {
	case isName(name, "host"):
		h.host = value
		h.hosts++
	case isName(name, "upgrade"):
		h.websocket = h.websocket || isName(value, "websocket")
	case isName(name, "content-length"):
		h.length, ok = number(value, 10)
		h.lengths++
	case isName(name, "transfer-encoding"):
		ok = isName(value, "chunked")
		h.codings++
	}
	return ok && line[0] != ' ' && line[0] != '\t' // a folded line (RFC 9112, section 5.2)
}

// endOfHead refuses what has no one meaning: two framings, two hosts, a coding in HTTP/1.0, and an upgrade
// that begins with a body.
func (c *conn) endOfHead() bool {
	h := &c.head
	framings := h.lengths + h.codings
	if framings > 1 || h.http10 && h.codings > 0 || h.hosts > 1 || !h.hostAgrees() ||
		h.websocket && (h.codings > 0 || h.length > 0) {
		return false
	}
	c.ready, c.rest, c.next = c.seen, h.length, (*conn).requestLine
	if h.chunked = h.codings == 1; h.chunked {
		c.next = (*conn).sizeLine
	}
	return true
}

// hostAgrees compares the authority of an absolute target with Host: net/http believes the first and
// forgets the second (RFC 9112, section 3.2.2). Some clients write a default port in one of them only.
func (h *head) hostAgrees() bool {
	_, rest, absolute := bytes.Cut(h.target, []byte("://"))
	if !absolute || h.target[0] == '/' {
		return true
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return h.hosts == 0 || bytes.EqualFold(bytes.TrimSuffix(rest, []byte(":80")), bytes.TrimSuffix(h.host, []byte(":80")))
}

func (c *conn) sizeLine(line []byte) bool {
	digits, extension, _ := bytes.Cut(line, []byte{';'})
	size, ok := number(digits, 16)
	c.ready, c.rest, c.next = c.seen, size, (*conn).chunkEnd
	if size == 0 {
		c.next = (*conn).trailerLine
	}
	return ok && bytes.IndexByte(extension, '\r') < 0
}

func (c *conn) chunkEnd(line []byte) bool {
	c.ready, c.next = c.seen, (*conn).sizeLine
	return len(line) == 0
}

func (c *conn) trailerLine(line []byte) bool {
	c.ready = c.seen
	if len(line) == 0 {
		c.next, c.head.chunked = (*conn).requestLine, false
		return true
	}
	return line[0] != ' ' && line[0] != '\t'
}

// isName compares without regard to case; lower is in lower case.
func isName(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// number reads digits alone, no sign, and at most as many as cannot overflow.
func number(b []byte, base int64) (n int64, ok bool) {
	for _, c := range b {
		d := int64(unhex(c))
		if d < 0 || d >= base || len(b) > 15 {
			return 0, false
		}
		n = n*base + d
	}
	return n, len(b) > 0
}
