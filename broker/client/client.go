package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
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
	// resolved to all of its addresses, and again when one of them fails; several are dialled as they are.
	Addresses []string
	// EgressAddresses are the brokers' egress listeners; without any, Egress refuses.
	EgressAddresses []string
	// Source has our SVID and the bundles. Required.
	Source Source
	// Brokers says which peers are brokers. Required: a workload of the right trust domain is not yet one.
	Brokers tlsconfig.Authorizer
	// Timeout bounds one call with all its attempts; zero means 10 s.
	Timeout time.Duration
	// Patience is how long after its start a call may begin another attempt; zero means 3 s, and a
	// negative one means a single attempt.
	Patience time.Duration
	// Dial is appended to the gRPC dial options, for instance a stats handler for traces; nil is fine.
	Dial []grpc.DialOption
	// Logger is told of rotations; nil means nobody is.
	Logger *slog.Logger
	// Metrics counts calls and rotations; nil means nobody does.
	Metrics *Metrics
}

func (c Config) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return 10 * time.Second
}

func (c Config) patience() time.Duration {
	if c.Patience != 0 {
		return c.Patience
	}
	return 3 * time.Second
}

func (c Config) logger() *slog.Logger {
	if c.Logger != nil {
		return c.Logger
	}
	return slog.New(slog.DiscardHandler)
}

func (c Config) check() error {
	switch {
	case len(c.Addresses) == 0:
		return errors.New("client: no broker is named: at least one mesh address is needed")
	case c.Source == nil:
		return errors.New("client: no source of identity")
	case c.Brokers == nil:
		return errors.New("client: nothing says who is a broker: AuthorizeID or AuthorizeOneOf is needed")
	}
	return nil
}

// Client speaks to the brokers. It is safe for concurrent use.
type Client struct {
	cfg     Config
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	current atomic.Pointer[Conn]
	// impostor is the ID of the last peer that is no broker and answered at a broker's address; empty
	// after a handshake with a broker.
	impostor atomic.Pointer[string]
}

// New returns a Client. Connections are made in the background: a broker that is not there yet is no
// error, an SVID that is not there is.
func New(cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	svid, err := cfg.Source.GetX509SVID()
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(svid)
	if err != nil {
		return nil, err
	}
	c.current.Store(conn)
	return c, nil
}

// Conn returns what is dialled with the SVID in use.
func (c *Client) Conn() *Conn { return c.current.Load() }

// Exchange mints a token; see [Conn.Exchange].
func (c *Client) Exchange(ctx context.Context, req *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	return c.Conn().Exchange(ctx, req)
}

// Lease hands out a credential.
func (c *Client) Lease(ctx context.Context, req *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
	return c.Conn().Lease(ctx, req)
}

// Egress returns the way through the brokers' egress listeners. The request's Host, or its URL's where
// that is empty, names the service; the URL's scheme is not looked at.
func (c *Client) Egress() http.RoundTripper { return throughEgress{c} }

// Close lets go of all connections at once.
func (c *Client) Close() error {
	c.cancel() // ends the Conns that drain
	return c.Conn().close()
}
