package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// newcomers are the connections whose first request is not answered yet. http.Server.Shutdown drops a request that it
// finds read and not begun, and what stands before us cannot know whether it was heard: so they are waited for first.
type newcomers struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// newcomerTime is how long whoever has connected may take to be heard.
const newcomerTime = 2 * time.Second

// note is for http.Server.ConnState.
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
