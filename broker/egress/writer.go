package egress

import (
	"bufio"
	"net"
	"net/http"

	"github.com/intercom-broker/intercom/broker/outbound"
)

// writer is the caller's side. It remembers what was answered and holds interim answers to the same rules
// as final ones, since ReverseProxy passes those on without asking.
type writer struct {
	http.ResponseWriter
	act    *act
	status int // 0 before the answer, 101 after an upgrade
}

// Unwrap lets http.ResponseController flush.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (w *writer) WriteHeader(status int) {
	if status < 200 {
		w.act.scrub(w.Header())
	} else {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (w *writer) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err != nil && w.act.outcome.Err == nil {
		w.act.outcome.Err = outbound.Gone()
	}
	return n, err
}

// Hijack is how ReverseProxy takes the connection after a 101.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.status = http.StatusSwitchingProtocols
	w.act.upgraded.Store(true)
	return outbound.CountConn(c, &w.act.bytes), rw, nil
}
