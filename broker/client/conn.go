package client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Conn is everything that was dialled with one SVID.
type Conn struct {
	client     *Client
	svid       *x509svid.SVID
	thumbprint string
	mesh       *grpc.ClientConn
	egress     *egress
	since      time.Time
	done       chan struct{} // closed when another SVID took over

	mu   sync.Mutex
	tied []*mtls.Transport
	open map[*tiedConn]struct{}
}

// dial makes the Conn of an SVID. It does not wait for a connection.
func (c *Client) dial(svid *x509svid.SVID) (*Conn, error) {
	conn := &Conn{
		client: c, svid: svid, thumbprint: mtls.Thumbprint(svid.Certificates[0]),
		since: time.Now(), done: make(chan struct{}), open: map[*tiedConn]struct{}{},
	}
	var err error
	if conn.mesh, err = c.dialMesh(svid); err != nil {
		return nil, err
	}
	conn.mesh.Connect()
	conn.egress = newEgress(conn)
	return conn, nil
}

// Thumbprint returns the SVID's `x5t#S256`, which a token that is bound to it names in `cnf`.
func (c *Conn) Thumbprint() string { return c.thumbprint }

// SVID returns the SVID that the connections were made with.
func (c *Conn) SVID() *x509svid.SVID { return c.svid }

// NotAfter is when the SVID ends, and with it all that was derived from it.
func (c *Conn) NotAfter() time.Time { return c.svid.Certificates[0].NotAfter }

// ended says that the SVID is over, or returns nil. Whatever is dialled with it fails in ways that look like
// faults of the brokers, or like requests that broke off half-way: TLS 1.3 refuses a certificate late.
func (c *Conn) ended() *fault.Error {
	if time.Now().Before(c.NotAfter()) {
		return nil
	}
	return fault.Newf(fault.Unavailable, "SVID_ENDED",
		"our own SVID %s ended at %s and no other came: check the Workload API, or the files, that it is from",
		c.svid.ID, c.NotAfter().UTC().Format(time.RFC3339))
}

// Done is closed when another SVID has taken over. What is under way may be finished.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Exchange mints a token on a connection that was made with this very SVID: a token that is bound to the
// caller's certificate is bound to this one.
func (c *Conn) Exchange(ctx context.Context, req *intercomv1.ExchangeRequest) (resp *intercomv1.ExchangeResponse, err error) {
	err = c.call(ctx, "Exchange", func(ctx context.Context) (err error) {
		resp, err = intercomv1.NewTokenExchangeClient(c.mesh).Exchange(ctx, req)
		return err
	})
	return resp, err
}

// Lease hands out a credential.
func (c *Conn) Lease(ctx context.Context, req *intercomv1.LeaseRequest) (resp *intercomv1.LeaseResponse, err error) {
	err = c.call(ctx, "Lease", func(ctx context.Context) (err error) {
		resp, err = intercomv1.NewCredentialsClient(c.mesh).Lease(ctx, req)
		return err
	})
	return resp, err
}

// Dial makes the connections of a transport.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Transport returns an HTTP client over cfg whose connections drain when another SVID takes over, and
// never outlive this one. It speaks HTTP/2 where the server does, and HTTP/1.1 for requests that ask for an
// upgrade. A nil dial is one with the time limits of the calls to brokers.
func (c *Conn) Transport(cfg *tls.Config, dial Dial) http.RoundTripper {
	if dial == nil {
		dial = dialer().DialContext
	}
	tracked := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return c.track(conn), nil
	}
	with := func(protos ...string) *mtls.Transport {
		cfg := cfg.Clone()
		cfg.NextProtos = protos
		return mtls.NewTransport(mtls.TransportConfig{TLS: cfg, SVID: c.svid, Dial: tracked})
	}
	t := twoProtocols{plain: with("h2", "http/1.1"), upgrade: with("http/1.1")}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tied = append(c.tied, t.plain, t.upgrade)
	return t
}

// twoProtocols keeps upgrades apart: HTTP/2 has none (RFC 9113, section 8.6).
type twoProtocols struct{ plain, upgrade *mtls.Transport }

// RoundTrip implements http.RoundTripper.
func (t twoProtocols) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(r.Header["Upgrade"]) > 0 {
		return t.upgrade.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

// tiedConn is a connection that its Conn knows of.
type tiedConn struct {
	net.Conn
	owner *Conn
}

func (c *Conn) track(conn net.Conn) net.Conn {
	t := &tiedConn{Conn: conn, owner: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[t] = struct{}{}
	return t
}

// Close implements net.Conn.
func (t *tiedConn) Close() error {
	t.owner.mu.Lock()
	delete(t.owner.open, t)
	t.owner.mu.Unlock()
	return t.Conn.Close()
}

// ready waits until one broker took a connection.
func (c *Conn) ready(ctx context.Context) error {
	for {
		state := c.mesh.GetState()
		if state == connectivity.Ready {
			return nil
		}
		c.mesh.Connect()
		if !c.mesh.WaitForStateChange(ctx, state) {
			return c.client.unreachable(ctx.Err())
		}
	}
}

// retire lets what is under way finish: calls within their time limit, requests until they are done or the
// SVID ends, whichever comes first.
func (c *Conn) retire() {
	close(c.done)
	go func() {
		ctx, cancel := context.WithDeadline(c.client.ctx, c.NotAfter())
		defer cancel()
		grace := time.AfterFunc(c.client.cfg.timeout(), func() { _ = c.mesh.Close() })
		defer grace.Stop()
		c.drain(ctx)
		_ = c.close()
	}()
}

// drain returns when the last tied connection is closed, at the earliest when calls have had their time:
// who took the Conn a moment ago may be about to dial.
func (c *Conn) drain(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	least := time.Now().Add(c.client.cfg.timeout())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if c.closeIdle() == 0 && now.After(least) {
				return
			}
		}
	}
}

// closeIdle returns how many tied connections are in use.
func (c *Conn) closeIdle() int {
	c.mu.Lock()
	tied := c.tied
	c.mu.Unlock()
	for _, t := range tied {
		t.CloseIdleConnections()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// close ends everything at once.
func (c *Conn) close() error {
	c.closeIdle()
	c.mu.Lock()
	var open []*tiedConn
	for t := range c.open {
		open = append(open, t)
	}
	c.mu.Unlock()
	var errs []error
	for _, t := range open {
		errs = append(errs, t.Close())
	}
	return errors.Join(append(errs, c.mesh.Close())...)
}
