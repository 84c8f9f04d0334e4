package drain

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// newcomers are the connections whose first request is not answered yet.
type newcomers struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// newcomerTime is how long whoever has connected may take to be heard. Some never say a word: browsers connect ahead.
const newcomerTime = 2 * time.Second

// follow hears from srv of its connections.
func follow(srv *http.Server) *newcomers {
	n := &newcomers{conns: map[net.Conn]struct{}{}}
	outer := srv.ConnState
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		n.note(c, state)
		if outer != nil {
			outer(c, state)
		}
	}
	return n
}

func (n *newcomers) note(c net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch state {
	case http.StateNew:
		n.conns[c] = struct{}{}
	case http.StateIdle, http.StateHijacked, http.StateClosed:
		delete(n.conns, c)
	case http.StateActive:
	}
}

// wait returns when the server has ended to accept and all are answered, or when ctx or their time ends.
func (n *newcomers) wait(ctx context.Context, accepted <-chan error) {
	ctx, cancel := context.WithTimeout(ctx, newcomerTime)
	defer cancel()
	select {
	case <-accepted:
	case <-ctx.Done():
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for n.any() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *newcomers) any() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns) > 0
}
