package client

import (
	"io"
	"net/http"
	"sync"
)

// heldBody keeps a request body open while there is another door to try: an http.RoundTripper closes the
// body also when it sent nothing of it.
type heldBody struct {
	io.ReadCloser

	mu     sync.Mutex
	held   bool
	closed bool
}

// holdBody returns nil when r has no body.
func holdBody(r *http.Request) *heldBody {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &heldBody{ReadCloser: r.Body, held: true}
}

// again makes b ready for the next attempt. The one before has closed it, if at all, before it returned.
func (b *heldBody) again() *heldBody {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = false
	return b
}

// Close implements io.Closer. While the body is held, it only remembers.
func (b *heldBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.held {
		return nil
	}
	return b.ReadCloser.Close()
}

// release lets closing through, also one that came before.
func (b *heldBody) release() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = false
	if b.closed {
		_ = b.ReadCloser.Close()
	}
}
