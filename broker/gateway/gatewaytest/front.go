package gatewaytest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Front gives several gateways one address: it takes connections and leads them on in turn, without a look at what
// they carry. TLS ends at the gateways.
type Front struct {
	listener net.Listener

	mu   sync.Mutex
	next int
	to   []string
}

func newFront(t testing.TB) *Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &Front{listener: l}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.serve()
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return f
}

// Addr is its address, as host:port.
func (f *Front) Addr() string { return f.listener.Addr().String() }

func (f *Front) port() string {
	_, port, _ := net.SplitHostPort(f.Addr())
	return port
}

// Lead leads new connections to these addresses in turn, from now on.
func (f *Front) Lead(to ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = to
}

func (f *Front) choose() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.to) == 0 {
		return ""
	}
	f.next++
	return f.to[f.next%len(f.to)]
}

// serve leads connections on until the listener is closed. Those that are open end with either side.
func (f *Front) serve() {
	for {
		from, err := f.listener.Accept()
		if err != nil {
			return
		}
		go join(from, f.choose())
	}
}

func join(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address) //nolint:noctx // ends with the connection
	if err != nil {
		return
	}
	defer to.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].(*net.TCPConn).CloseWrite()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}
