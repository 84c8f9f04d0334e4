package outbound

import (
	"net"
	"sync/atomic"
)

// CountConn returns c, and adds to bytes what passes either way.
func CountConn(c net.Conn, bytes *atomic.Int64) net.Conn { return &counted{Conn: c, bytes: bytes} }

type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

// CloseWrite passes on that one side has said all, where the connection can.
func (c *counted) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Close()
}
