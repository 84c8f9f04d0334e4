package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// socket is the browser's side of a WebSocket. When we end it, the browser is told why, so that a page can tell the
// end of a session from a network that failed: in a Close frame, where one can stand.
type socket struct {
	net.Conn
	call *call

	mu     sync.Mutex // a frame of ours does not stand in the middle of another
	frames frames
}

// Write implements [net.Conn].
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.Conn.Write(p)
	s.frames.follow(p[:n])
	return n, err
}

// lastWord bounds how long a browser that reads nothing holds up the end of its own connection.
const lastWord = time.Second

// Close implements [net.Conn].
func (s *socket) Close() error {
	if code, reason := closing(context.Cause(s.call.Context)); code != 0 {
		_ = s.SetWriteDeadline(time.Now().Add(lastWord)) // also for who is writing now
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.frames.between() && !s.frames.closed {
			_, _ = s.Conn.Write(closeFrame(code, reason))
		}
	}
	return s.Conn.Close()
}

// CloseWrite passes on that the service has said all.
func (s *socket) CloseWrite() error {
	if w, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return s.Close()
}

// The codes of a Close frame of ours. Those from 4000 are an application's own (RFC 6455, section 7.4.2): the
// status that a request would get, and 1012 is registered for a service that restarts.
const (
	closeRestart   = 1012
	closeForbidden = 4403
	closeLogin     = 4401
)

// closing says in a code and a word why we end a connection; 0 when it is not we who do.
func closing(cause error) (code uint16, reason string) {
	why, ok := errors.AsType[*fault.Error](cause)
	if !ok {
		return 0, ""
	}
	switch why.Kind {
	case fault.Unauthenticated:
		return closeLogin, why.Code()
	case fault.Denied:
		return closeForbidden, why.Code()
	case fault.Unavailable:
		return closeRestart, why.Code()
	}
	return 0, ""
}
