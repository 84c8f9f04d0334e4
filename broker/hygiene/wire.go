package hygiene

import (
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"
)

// Listener wraps what l accepts with [Conn]. TLS must have shaken hands below it: without the negotiated
// protocol there is no telling HTTP/2 from HTTP/1.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t, ok := c.(secure); ok && !t.ConnectionState().HandshakeComplete {
		_ = c.Close()
		return nil, Error("hygiene: a TLS connection before its handshake")
	}
	return Conn(c), nil
}

// secure is what *tls.Conn and its wrappers have: net/http sets Request.TLS from the one, and what ends a
// connection at its peer's notAfter is found by the other.
type secure interface {
	ConnectionState() tls.ConnectionState
	NetConn() net.Conn
}

// Conn returns c with every HTTP/1 head, and every line between chunks, checked before it can be read. HTTP/2
// is left alone: c itself is returned when TLS negotiated it, and without TLS its preface lets all pass.
func Conn(c net.Conn) net.Conn {
	t, ok := c.(secure)
	if !ok {
		return &conn{Conn: c, next: (*conn).requestLine, preface: true}
	}
	if t.ConnectionState().NegotiatedProtocol == "h2" {
		return c
	}
	return &struct {
		*conn
		secure
	}{&conn{Conn: c, next: (*conn).requestLine}, t}
}

// conn is read by one goroutine at a time, and written by another meanwhile, as net/http does it.
type conn struct {
	net.Conn
	store   []byte // empty; backs buf from one head to the next, unless that is a long one
	buf     []byte // what was read and not yet delivered
	seen    int    // how much of buf is checked
	ready   int    // how much of buf may be delivered: of a head, all or nothing
	next    func(*conn, []byte) bool
	rest    int64 // of a body or chunk; it passes unseen
	head    head
	preface bool  // may still turn out to speak HTTP/2
	endless bool  // the head is over MaxHead: net/http is fed until it answers 431 itself
	failed  error // what Read returns when nothing is ready
	upgrade atomic.Int32
}

const (
	idle     int32 = iota
	asking         // the head with the Upgrade was delivered, and there is no answer yet
	switched       // the answer was 101
)

func (c *conn) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		switch {
		case c.ready > 0:
			n = c.deliver(p)
		case c.failed != nil:
			err, c.failed = c.failed, io.EOF
		case c.endless:
			n = copy(p, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
		case c.upgrade.Load() == asking: // what comes now is a frame or a head, and the answer decides
			err = c.fill()
		case c.upgrade.CompareAndSwap(switched, idle):
			c.rest = math.MaxInt64
		case c.rest > 0 && len(c.buf) == 0:
			n, err = c.Conn.Read(p[:min(int64(len(p)), c.rest)])
			c.rest -= int64(n)
		case !c.scan():
			err = c.fill()
		}
	}
	return n, err
}

// Write passes p on. The answer to an Upgrade is the first write that begins with a status other than the
// interim ones: net/http flushes each response at its end, and reads no head before.
func (c *conn) Write(p []byte) (int, error) {
	if c.upgrade.Load() == asking && len(p) > 12 {
		if string(p[9:12]) == "101" {
			c.upgrade.Store(switched)
		} else if p[9] != '1' {
			c.upgrade.Store(idle)
		}
	}
	return c.Conn.Write(p)
}

// CloseWrite lets net/http end a refused connection without a reset that overtakes the answer.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) deliver(p []byte) int {
	n := copy(p, c.buf[:c.ready])
	c.buf, c.ready, c.seen = c.buf[n:], c.ready-n, c.seen-n
	if c.ready == 0 && c.head.websocket {
		c.head.websocket = false
		c.upgrade.Store(asking)
	}
	return n
}

func (c *conn) fill() error {
	switch {
	case len(c.buf) > MaxHead:
		return ErrFraming
	case len(c.buf) == 0 && c.store != nil:
		c.buf = c.store
	case cap(c.buf)-len(c.buf) < 512: // never moved within its array: the head's fields point there
		c.buf = append(make([]byte, 0, 2*len(c.buf)+4096), c.buf...)
		if c.store == nil {
			c.store = c.buf
		}
	}
	n, err := c.Conn.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		return nil // an error that came with bytes comes again without
	}
	return err
}
