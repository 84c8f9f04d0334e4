package proxies_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/intercom-broker/intercom/broker/gateway/gatewaytest"
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
		gatewaytest.ServeEcho(w, r)
		return
	case strings.HasSuffix(r.URL.Path, "/stream"):
		gatewaytest.ServeStream(w, r)
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
