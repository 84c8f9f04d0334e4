package outbound_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/intercom-broker/intercom/broker/outbound"
)

// TestQuietStream: a stream of a gRPC service on which nothing is said for an hour stays open. Such a server closes the
// connection of who asks it too often whether it lives (gRFC A8).
func TestQuietStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 16)
		server := grpc.NewServer()
		grpc_health_v1.RegisterHealthServer(server, health.NewServer())
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		way := outbound.Transport(outbound.Config{})
		defer way.CloseIdleConnections()
		way.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return l.DialContext(ctx) }
		way.Protocols = new(http.Protocols)
		way.Protocols.SetUnencryptedHTTP2(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://service.test/grpc.health.v1.Health/Watch", strings.NewReader("\x00\x00\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
		res, err := way.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		defer cancel()
		ended := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, res.Body)
			ended <- err
		}()
		select {
		case err := <-ended:
			t.Errorf("the stream ended: %v", err)
		case <-time.After(time.Hour):
		}
	})
}
