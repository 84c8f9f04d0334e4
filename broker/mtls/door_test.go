package mtls_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/telemetry/telemetrytest"
)

// TestSilentPeers: whoever connects and says nothing is closed, and keeps nobody waiting meanwhile.
func TestSilentPeers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, time.Hour)
	cfg := f.config()
	cfg.HandshakeTimeout, cfg.Handshakes = 2*time.Second, 50 // the default is 10 s
	l := mtls.ListenHTTP(listen(t), cfg)
	defer l.Close()
	go greet(l)
	var silent []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	if _, err := handshake(l.Addr().String(), f.clientTLS()); err != nil {
		t.Errorf("a good client beside the silent ones: %v", err)
	}
	for _, conn := range silent {
		_ = conn.SetReadDeadline(time.Now().Add(8 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "i/o timeout") {
			t.Fatalf("a silent connection is still open: %v", err)
		}
	}
	eventually(t, "20 timeouts are counted", func() bool {
		return telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result=timeout") == 20
	})
	eventually(t, "no connection is open", func() bool { return telemetrytest.Value(t, f.registry, "intercom_mtls_connections") == 0 })
}

func TestConnectionsAreLimited(t *testing.T) {
	f := newFixture(t, time.Hour)
	cfg := f.config()
	cfg.MaxConns, cfg.Handshakes = 2, 4
	l := mtls.ListenHTTP(listen(t), cfg)
	defer l.Close()
	go greet(l)
	held := make([]net.Conn, 2)
	for i := range held {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held[i] = conn
	}
	eventually(t, "two are open", func() bool { return telemetrytest.Value(t, f.registry, "intercom_mtls_connections") == 2 })
	if _, err := handshake(l.Addr().String(), f.clientTLS()); err == nil {
		t.Error("a third connection was let in")
	}
	if n := telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total", "result=over_limit"); n < 1 {
		t.Errorf("over_limit counted %v times", n)
	}
	_ = held[0].Close()
	for range 2 * cfg.Handshakes { // a handshake that is over leaves its slot
		eventually(t, "a place is free again", func() bool {
			_, err := handshake(l.Addr().String(), f.clientTLS())
			return err == nil
		})
	}
}

// TestRefusalsDoNotFloodTheLog: whoever reaches the port can cause them.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	f := newFixture(t, time.Hour)
	var log telemetrytest.Log
	cfg := f.config()
	cfg.Logger = log.Logger()
	l := mtls.ListenHTTP(listen(t), cfg)
	defer l.Close()
	go greet(l)
	const strangers = 100
	for range strangers {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
		_ = conn.Close()
	}
	eventually(t, "all are counted", func() bool {
		all := telemetrytest.Value(t, f.registry, "intercom_mtls_handshakes_total")
		return all >= strangers
	})
	if n := strings.Count(log.String(), "connection refused"); n == 0 || n > 40 {
		t.Errorf("%d strangers made %d lines", strangers, n)
	}
}

// TestClosedBelow: whoever had connected when the listener below was closed is handed out all the same, when his
// handshake is over; then Accept says that nobody else comes.
func TestClosedBelow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, time.Hour)
	below := listen(t)
	l := mtls.ListenHTTP(below, f.config())
	defer l.Close()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	eventually(t, "the connection is there", func() bool { return telemetrytest.Value(t, f.registry, "intercom_mtls_connections") == 1 })
	_ = below.Close()
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(raw, f.clientTLS()).HandshakeContext(t.Context()) }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("who had connected is not handed out: %v, and hears %v", err, <-shaken)
	}
	defer conn.Close()
	if err := <-shaken; err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("another one: %v", err)
	}
}
