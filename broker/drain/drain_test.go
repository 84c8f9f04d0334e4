package drain_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/netutil"

	"github.com/intercom-broker/intercom/broker/drain"
)

// started is a server that is served, until stop is called.
type started struct {
	addr  string
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, h http.Handler, grace time.Duration) *started {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	s := &started{l.Addr().String(), stop, make(chan error, 1)}
	go func() { s.ended <- drain.Serve(ctx, &http.Server{Handler: h}, l, netutil.LimitListener(l, 10), grace) }()
	t.Cleanup(stop)
	return s
}

func (s *started) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// closed waits until nobody new is let in.
func (s *started) closed(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			return
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the door is open")
		}
	}
}

func (s *started) over(t *testing.T) {
	t.Helper()
	select {
	case err := <-s.ended:
		must(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("it serves on")
	}
}

// ask sends a request, and returns its status; zero where the connection broke.
func ask(c net.Conn) int {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestNewcomers: whoever had connected when the door closed is answered, and the server waits for him.
func TestNewcomers(t *testing.T) {
	t.Parallel()
	s := start(t, http.NotFoundHandler(), 10*time.Second)
	c := s.dial(t)
	known := s.dial(t)
	if got := ask(known); got != http.StatusNotFound { // so that the server has seen c too
		t.Fatal(got)
	}
	s.stop()
	s.closed(t)
	if got := ask(c); got != http.StatusNotFound {
		t.Errorf("who had connected gets %d", got)
	}
	s.over(t)
}

// TestSilentNewcomers hold nobody up for longer than they may take to speak.
func TestSilentNewcomers(t *testing.T) {
	t.Parallel()
	s := start(t, http.NotFoundHandler(), time.Hour)
	s.dial(t)
	ask(s.dial(t))
	s.stop()
	s.over(t)
}

// TestInFlight: a request that is under way is waited for, and cut when the grace is over.
func TestInFlight(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"waited for": time.Hour, "cut": 10 * time.Millisecond} {
		began, done := make(chan struct{}), make(chan struct{})
		s := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			select {
			case <-done:
			case <-r.Context().Done():
			}
		}), grace)
		status := make(chan int, 1)
		c := s.dial(t)
		go func() { status <- ask(c) }()
		<-began
		s.stop()
		if grace == time.Hour {
			s.closed(t)
			close(done)
		}
		s.over(t)
		if got := <-status; (got == http.StatusOK) != (grace == time.Hour) {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestEndsByItself: what ends a server before its time is told.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	if err := drain.Serve(t.Context(), &http.Server{}, l, l, time.Second); err == nil {
		t.Error("it says nothing")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
