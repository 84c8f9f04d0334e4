package mtls

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Config is how a door treats its connections.
type Config struct {
	// Name is the door's name in logs and metrics, such as "mesh"; empty means "mtls".
	Name string
	// TLS is one of this package's server configurations; required.
	TLS *tls.Config
	// HandshakeTimeout ends a handshake that takes longer; 0 means 10 s.
	HandshakeTimeout time.Duration
	// Handshakes is how many run at the same time, the others wait; 0 means 1 024.
	Handshakes int
	// MaxConns is how many connections are open at the same time, the others are closed; 0 means 10 000.
	MaxConns int
	// Grace is how long a drain waits for calls in flight; 0 means 10 s.
	Grace time.Duration
	// Logger is told, at a bounded rate, who was refused; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts connections and refusals; nil means nobody does.
	Metrics *Metrics
}

// ServeGRPC serves gRPC on l until ctx ends, and then drains. newServer is called more than once, with
// the options that it must hand to grpc.NewServer beside its own.
func ServeGRPC(ctx context.Context, l net.Listener, cfg Config, newServer func(opts ...grpc.ServerOption) *grpc.Server) error {
	panic("not yet")
}

// ListenHTTP returns a listener whose connections are verified *tls.Conn that end at their peer's notAfter.
func ListenHTTP(l net.Listener, cfg Config) net.Listener { panic("not yet") }

// ServeHTTP serves srv on l, which comes from ListenHTTP and may be wrapped, until ctx ends, and then
// drains for at most grace (0 means 10 s). It sets srv.ConnContext and wraps srv.Handler with RenewAtHalfLife.
func ServeHTTP(ctx context.Context, l net.Listener, srv *http.Server, grace time.Duration) error {
	panic("not yet")
}

// ConnContext is for http.Server.ConnContext: it lets RenewAtHalfLife find the connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context { panic("not yet") }

// RenewAtHalfLife asks a connection to go with the first response after half of its peer's remaining life.
func RenewAtHalfLife(next http.Handler) http.Handler { panic("not yet") }

// ClientCredentials returns gRPC credentials over a Client configuration; connections end at the server's notAfter.
func ClientCredentials(cfg *tls.Config) credentials.TransportCredentials { panic("not yet") }

// NewTransport returns an HTTP client over a Client configuration.
func NewTransport(cfg TransportConfig) *Transport { panic("not yet") }

// TransportConfig is how a Transport connects.
type TransportConfig struct {
	// TLS is a Client configuration; required. Its NextProtos choose between HTTP/2 and HTTP/1.1.
	TLS *tls.Config
	// Dial makes connections; nil means a net.Dialer with a timeout of 5 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Transport is an http.RoundTripper that replaces its connections before the server asks it to.
type Transport struct{}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) { panic("not yet") }

// CloseIdleConnections closes what is not in use.
func (t *Transport) CloseIdleConnections() { panic("not yet") }

// Metrics counts connections and refusals. A nil Metrics counts nothing.
type Metrics struct{}

// NewMetrics registers the metrics of this package.
func NewMetrics(r prometheus.Registerer) *Metrics { return &Metrics{} }
