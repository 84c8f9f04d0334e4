package client

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"

	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Source is who we are today; svid.Source is one.
type Source interface {
	x509svid.Source
	x509bundle.Source
	// Updated returns a channel that is closed at the next change.
	Updated() <-chan struct{}
}

// Config says where the brokers are and who they must be.
type Config struct {
	// Addresses are the brokers' mesh listeners, host:port. At least one is required. A single name is
	// resolved to all of its addresses, and again when one of them fails; several are taken as they are.
	Addresses []string
	// EgressAddresses are the brokers' egress listeners; without any, Egress refuses.
	EgressAddresses []string
	// Source has our SVID and the bundles. Required.
	Source Source
	// Brokers says which peers are brokers. Required: a peer of the right trust domain is not yet a broker.
	Brokers tlsconfig.Authorizer
	// Timeout bounds one call with all its attempts; zero means 10 s.
	Timeout time.Duration
	// Patience is how long after its start a call may still begin another attempt; zero means 3 s, and a
	// negative one means a single attempt.
	Patience time.Duration
	// Dial is appended to the gRPC dial options, for instance a stats handler for traces.
	Dial []grpc.DialOption
	// Logger may be nil.
	Logger *slog.Logger
	// Metrics may be nil.
	Metrics *Metrics
}

// Client speaks to the brokers. It is safe for concurrent use.
type Client struct{}

// New checks cfg and returns a Client. Connections are made in the background; a broker that is not
// there yet is no error.
func New(cfg Config) (*Client, error) { panic("not yet") }

// Run follows the SVID until ctx ends. Before the connections of a new SVID are used, prepare is
// called with them; nil means that there is nothing to prepare.
func (c *Client) Run(ctx context.Context, prepare func(ctx context.Context, next *Conn) error) error {
	panic("not yet")
}

// Conn returns what is dialled with the SVID in use.
func (c *Client) Conn() *Conn { panic("not yet") }

// Exchange mints a token; see [Conn.Exchange].
func (c *Client) Exchange(ctx context.Context, req *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	panic("not yet")
}

// Lease hands out a credential.
func (c *Client) Lease(ctx context.Context, req *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
	panic("not yet")
}

// WatchServices yields the full list of services, at once and at every change. A stream that breaks is
// yielded as an error and opened again with backoff and jitter; the sequence ends only with ctx, or when
// the loop does.
func (c *Client) WatchServices(ctx context.Context) iter.Seq2[*intercomv1.WatchServicesResponse, error] {
	panic("not yet")
}

// Egress returns the way through the brokers' egress listeners. The request's URL host, or its Host
// where that is set, names the service; the scheme is not looked at.
func (c *Client) Egress() http.RoundTripper { panic("not yet") }

// Close lets go of all connections at once.
func (c *Client) Close() error { panic("not yet") }

// Conn is everything that was dialled with one SVID.
type Conn struct{}

// Thumbprint returns the SVID's `x5t#S256`, which a token bound to it names in `cnf`.
func (c *Conn) Thumbprint() string { panic("not yet") }

// SVID returns the SVID that the connections were made with.
func (c *Conn) SVID() *x509svid.SVID { panic("not yet") }

// Exchange mints a token on a connection that was made with this very SVID.
func (c *Conn) Exchange(ctx context.Context, req *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	panic("not yet")
}

// Tie lets t live as long as the SVID does.
func (c *Conn) Tie(t *http.Transport) *http.Transport { panic("not yet") }
