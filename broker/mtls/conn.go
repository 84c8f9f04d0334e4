package mtls

import (
	"net"
	"sync"
	"time"
)

// lifeConn is the connection beneath a *tls.Conn: net/http wants the *tls.Conn itself, so what ends it
// stands below.
type lifeConn struct {
	net.Conn
	closed func() // called once
	once   sync.Once

	mu    sync.Mutex
	end   *time.Timer
	renew time.Time // when it is asked to go; zero for never
}

// Close implements net.Conn.
func (c *lifeConn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		if c.end != nil {
			c.end.Stop()
		}
		c.mu.Unlock()
		if c.closed != nil {
			c.closed()
		}
	})
	return c.Conn.Close()
}

// live lets the connection live until the peer's notAfter, and remembers half of the way to the first of
// peer and own. A zero own is no limit.
func (c *lifeConn) live(now, peer, own time.Time, ended func()) {
	first := peer
	if !own.IsZero() && own.Before(first) {
		first = own
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renew = now.Add(first.Sub(now) / 2)
	// Not a deadline: net/http and grpc set their own. The raw connection is closed, without TLS's
	// close_notify, which could wait for a peer that reads nothing.
	c.end = time.AfterFunc(peer.Sub(now), func() {
		ended()
		_ = c.Close()
	})
}

func (c *lifeConn) renewAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renew
}

// beneath finds the lifeConn under a *tls.Conn and under whatever wraps that, as long as it has NetConn.
func beneath(c net.Conn) (*lifeConn, bool) {
	for {
		switch at := c.(type) {
		case *lifeConn:
			return at, true
		case interface{ NetConn() net.Conn }:
			c = at.NetConn()
		default:
			return nil, false
		}
	}
}
