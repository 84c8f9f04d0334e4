package providertest

import (
	"net"
	"sync"
	"testing"
)

// Wire leads connections on, until they go dark: nothing comes through any more, and nobody is told.
type Wire struct {
	net.Listener

	mu   sync.Mutex
	dark chan struct{}
}

// NewWire returns one to an address; its own is [net.Listener].Addr.
func NewWire(t testing.TB, to string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Listener: l, dark: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = from.Close() })
			go w.lead(from, to)
		}
	}()
	return w
}

func (w *Wire) lead(from net.Conn, to string) {
	on, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	w.mu.Lock()
	dark := w.dark
	w.mu.Unlock()
	for _, way := range [][2]net.Conn{{from, on}, {on, from}} {
		go func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := way[1].Read(buffer)
				select {
				case <-dark:
					return
				default:
				}
				if _, failed := way[0].Write(buffer[:n]); err != nil || failed != nil {
					return
				}
			}
		}()
	}
}

// Cut darkens the connections that there are; new ones are led on.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.dark)
	w.dark = make(chan struct{})
}
