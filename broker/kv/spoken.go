package kv

import (
	"context"
	"io"
	"net"
	"time"
)

// What [Open] says of a server that answers, and not as it was asked to.
const (
	SpeaksPlainly = "it speaks without TLS: take tls out, or let it speak TLS on this port"
	SpeaksHTTP    = "what answers speaks HTTP: is the port the right one?"
)

// strange asks the first address that says anything to a stranger, in words that Redis takes and a web server complains
// of. Nothing of ours is sent. It returns one of the sentences above, or nothing.
func strange(c Config) string {
	for _, address := range c.Addresses {
		switch firstByte(address) {
		case '+', '-': // PONG, or that it wants a password
			if c.TLS != nil {
				return SpeaksPlainly
			}
			return ""
		case 'H', '<': // a status line, or a page without one
			return SpeaksHTTP
		}
	}
	return ""
}

// firstByte is zero where nothing is said.
func firstByte(address string) byte {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	first := make([]byte, 1)
	if _, err := io.WriteString(conn, "PING\r\n\r\n"); err != nil {
		return 0
	}
	_, _ = io.ReadFull(conn, first)
	return first[0]
}
