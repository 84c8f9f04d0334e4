package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/intercom-broker/intercom/broker/drain"
	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// Bounds of both doors.
const (
	maxHead    = 32 << 10
	maxStreams = 250 // of one HTTP/2 connection
)

// server returns a server with the bounds that both doors have. There is no write timeout: streams may last.
func (g *Gateway) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHead, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(g.parts.log().Handler(), slog.LevelDebug),
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
}

// serveFront serves browsers until ctx ends, and then waits for what is in flight within the grace.
func (g *Gateway) serveFront(ctx context.Context) error {
	l, err := g.frontListener()
	if err != nil {
		return err
	}
	return drain.Serve(ctx, g.server(g.front), g.bound[doorFront], l, g.cfg.grace())
}

// frontListener is the door with TLS, and with every HTTP/1 head checked before net/http reads it.
func (g *Gateway) frontListener() (net.Listener, error) {
	l := g.bound[doorFront]
	if g.cfg.Unsafe.Plaintext {
		return hygiene.Listener(netutil.LimitListener(l, g.cfg.Limits.connections())), nil
	}
	certificate, err := mtls.CertFiles(g.cfg.Listen.Cert, g.cfg.Listen.Key, g.parts.log())
	if err != nil {
		return nil, fmt.Errorf("listen.cert: %w", err)
	}
	return hygiene.Listener(mtls.ListenHTTP(l, mtls.Config{
		Name: "front", MaxConns: g.cfg.Limits.connections(), Logger: g.parts.log(), Metrics: g.parts.doors,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate, NextProtos: []string{"h2", "http/1.1"}},
	})), nil
}
