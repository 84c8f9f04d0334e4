package proxies_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// service is one behind the proxies. It says what it gets.
type service struct {
	*httptest.Server
	// began gets a word when the first bytes of an upload are there.
	began chan struct{}

	mu  sync.Mutex
	got []string
}

func newService(t *testing.T) *service {
	s := &service{began: make(chan struct{}, 1)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// arrived is a request as the service got it.
type arrived struct {
	Method, URI string
	Header      http.Header
	Size        int64
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.got = append(s.got, r.RequestURI)
	s.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/socket"):
		echo(w, r)
		return
	case strings.HasSuffix(r.URL.Path, "/stream"):
		stream(w, r)
		return
	case strings.HasSuffix(r.URL.Path, "/upload"):
		s.hear(r)
	case strings.HasSuffix(r.URL.Path, "/steer"):
		w.Header().Set("X-Accel-Redirect", "/bff/session")
		w.Header().Set("Set-Cookie", "__Host-Http-ic=stolen; Path=/; Secure; HttpOnly")
	}
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	_ = json.NewEncoder(w).Encode(arrived{r.Method, r.RequestURI, r.Header, size})
}

// hear tells of the first bytes. The body stays whole but for them.
func (s *service) hear(r *http.Request) {
	first := make([]byte, 1)
	if _, err := io.ReadFull(r.Body, first); err == nil {
		select {
		case s.began <- struct{}{}:
		default:
		}
	}
}

// seen returns what has arrived since it was asked last.
func (s *service) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, "data: begun\n\n")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the gateway has checked the origin
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, text, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}
