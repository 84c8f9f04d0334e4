package client

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/intercom-broker/intercom/broker/hygiene"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// serviceConfig spreads calls over all brokers that answer. Retries are our own: gRPC's do not read
// RetryInfo.
const serviceConfig = `{"loadBalancingConfig":[{"round_robin":{}}]}`

// reconnect is how a broker that went away is dialled again.
func reconnect() grpc.ConnectParams {
	return grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.3, MaxDelay: 5 * time.Second},
		MinConnectTimeout: 3 * time.Second,
	}
}

func dialGRPC(ctx context.Context, address string) (net.Conn, error) {
	return dialer().DialContext(ctx, "tcp", address)
}

func (c *Client) dialMesh(svid *x509svid.SVID) (*grpc.ClientConn, error) {
	creds := mtls.ClientCredentials(mtls.Client(svid, c.cfg.Source, c.authorize, "h2"))
	target, opts := target(c.cfg.Addresses)
	opts = append(opts,
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDisableServiceConfig(), // no TXT record decides how we balance
		grpc.WithConnectParams(reconnect()),
		grpc.WithContextDialer(dialGRPC),
		grpc.WithNoProxy(), // a proxy in the environment is for the application's calls, not for these
	)
	return grpc.NewClient(target, append(opts, c.cfg.Dial...)...)
}

// target names the brokers to gRPC. One name may stand for many addresses, so it is left to the DNS
// resolver; a list is taken as it is.
func target(addresses []string) (string, []grpc.DialOption) {
	if len(addresses) == 1 {
		return "dns:///" + addresses[0], nil
	}
	r := manual.NewBuilderWithScheme("brokers")
	var state resolver.State
	for _, a := range addresses {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	r.InitialState(state)
	return "brokers:///mesh", []grpc.DialOption{grpc.WithResolvers(r)}
}

// authorize asks cfg.Brokers and remembers who else answered at a broker's address, for the message.
func (c *Client) authorize(id spiffeid.ID, chains [][]*x509.Certificate) error {
	err := c.cfg.Brokers(id, chains)
	if err == nil {
		c.impostor.Store(nil)
		return nil
	}
	name := id.String()
	c.impostor.Store(&name)
	return err
}

func dialer() *net.Dialer { return hygiene.Lively(&net.Dialer{Timeout: 3 * time.Second}) }
