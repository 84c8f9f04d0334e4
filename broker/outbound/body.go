package outbound

import (
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// abandonment is how long the rest of a body is waited for that nobody wants any more.
const abandonment = 2 * time.Second

// AbandonBody is for the answer to a request whose body was not read, before that answer begins. It bounds how
// long the body holds its connection: net/http reads up to 256 KB of it before it lets go, without a deadline.
// The connection ends with the answer, so no later request meets the deadline. HTTP/2 resets the stream
// instead, and reads nothing.
func AbandonBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor != 1 {
		return
	}
	w.Header().Set("Connection", "close")
	// Where there is no connection to set it on, there is none that is held.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(abandonment))
}

// Drain lets an answer out that came before its request's end, and waits a moment for the rest of body, which a
// Transport may still be reading: net/http would wait for it without a deadline. The connection ends with
// this answer.
func Drain(w http.ResponseWriter, body io.Reader) {
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	_ = rc.SetReadDeadline(time.Now().Add(abandonment))
	_, _ = io.CopyN(io.Discard, body, 256<<10)
}

// URL returns the path below base, with the query of from. Both paths are escaped and canonical; the query is
// untouched.
func URL(base, path string, from *url.URL) url.URL {
	raw := base + path
	plain, err := url.PathUnescape(raw)
	if err != nil { // the service files and hygiene.CleanPath hold that it does not happen
		plain = raw
	}
	return url.URL{Path: plain, RawPath: raw, RawQuery: from.RawQuery, ForceQuery: from.ForceQuery}
}

// Buffers are what bodies are copied through, shared by all requests of a door. The zero Buffers is empty.
type Buffers struct{ pool sync.Pool }

const bufferSize = 32 << 10

// Get implements [httputil.BufferPool].
func (b *Buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put implements [httputil.BufferPool].
func (b *Buffers) Put(p []byte) { b.pool.Put((*[bufferSize]byte)(p)) }
