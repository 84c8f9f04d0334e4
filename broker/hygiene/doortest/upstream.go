package doortest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// Seen is a request as it arrived at an upstream.
type Seen struct {
	Method, Host, URI, Proto string
	Header                   http.Header
}

func see(r *http.Request) Seen {
	_, _ = io.Copy(io.Discard, r.Body)
	return Seen{r.Method, r.Host, r.RequestURI, r.Proto, r.Header}
}

// Echo is an upstream that answers with what it has [Seen].
func Echo(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(see(r)) }

// pathNext is what a [Recorder] does not keep.
const pathNext = "/next"

// Recorder is an upstream that keeps what arrived last. The names of its trailers are added to its header Trailer.
type Recorder struct {
	mu   sync.Mutex
	last *Seen
}

// ServeHTTP implements [http.Handler].
func (u *Recorder) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	got := see(r)
	if r.URL.Path == pathNext {
		return
	}
	for name := range r.Trailer {
		got.Header["Trailer"] = append(got.Header["Trailer"], name)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = &got
}

// Take returns what arrived last, once; nil means nothing.
func (u *Recorder) Take() *Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	last := u.last
	u.last = nil
	return last
}

// Breaking is an upstream that says text in place of an answer, and hangs up.
func Breaking(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

// EchoLines is an upstream that answers each line of the body before the next one comes.
func EchoLines(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex()
	w.WriteHeader(http.StatusOK)
	_ = rc.Flush()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		_, _ = fmt.Fprintln(w, lines.Text())
		_ = rc.Flush()
	}
}
