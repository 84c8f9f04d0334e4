package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/patience"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// broker is a small one: real listeners, real mutual TLS, answers that the test sets.
type broker struct {
	intercomv1.UnimplementedTokenExchangeServer
	intercomv1.UnimplementedCredentialsServer
	intercomv1.UnimplementedSidecarServer
	intercomv1.UnimplementedDecisionsServer

	calls    atomic.Int64
	exchange func(ctx context.Context, n int64) error // nil: fine
	lists    chan *intercomv1.WatchServicesResponse
	mesh     *plug
}

// Exchange answers with the thumbprint of the certificate that it was asked with.
func (b *broker) Exchange(ctx context.Context, _ *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	n := b.calls.Add(1)
	if b.exchange != nil {
		if err := b.exchange(ctx, n); err != nil {
			return nil, fault.Status(err).Err()
		}
	}
	p, _ := peer.FromContext(ctx)
	_, cert, err := mtls.Peer(p.AuthInfo.(credentials.TLSInfo).State)
	if err != nil {
		return nil, err
	}
	return &intercomv1.ExchangeResponse{AccessToken: mtls.Thumbprint(cert)}, nil
}

// WatchPolicy sends a policy that is larger than a message of gRPC's by default, unless the caller holds it.
func (b *broker) WatchPolicy(req *intercomv1.WatchPolicyRequest, s grpc.ServerStreamingServer[intercomv1.WatchPolicyResponse]) error {
	resp := &intercomv1.WatchPolicyResponse{Revision: "large"}
	if req.GetRevision() != "large" {
		resp.Archive = make([]byte, 6<<20)
	}
	return s.Send(resp)
}

func (b *broker) WatchServices(_ *intercomv1.WatchServicesRequest, s grpc.ServerStreamingServer[intercomv1.WatchServicesResponse]) error {
	b.calls.Add(1)
	for {
		select {
		case list := <-b.lists:
			if err := s.Send(list); err != nil {
				return err
			}
		case <-s.Context().Done():
			return nil
		}
	}
}

// plug is a listener that can be pulled, as a process is killed: no goodbye on any connection.
type plug struct {
	net.Listener
	full  atomic.Bool // new connections are dropped
	mu    sync.Mutex
	conns []net.Conn
}

func listen(t *testing.T, address string) *plug {
	t.Helper()
	var l net.Listener
	eventually(t, "the address is free", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	p := &plug{Listener: l}
	t.Cleanup(p.pull)
	return p
}

func (p *plug) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err == nil && p.full.Load() {
		_ = c.Close()
	}
	if err == nil {
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
	}
	return c, err
}

func (p *plug) pull() {
	_ = p.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

func (p *plug) addr() string { return p.Addr().String() }

// anywhere is an address of this test process alone: on 127.0.0.1 the port of a broker that was killed may
// be taken, as the near end of somebody's connection, before the broker is back.
var anywhere = fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))

// start serves a broker with that SPIFFE ID path at address.
func start(t *testing.T, d *embedded.Domain, path, address string, b *broker) *broker {
	t.Helper()
	b.lists = make(chan *intercomv1.WatchServicesResponse, 8)
	b.mesh = listen(t, address)
	src := d.Source(d.ID(path))
	cfg := mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(d.Name()), "h2"), Grace: time.Millisecond}
	go func() {
		_ = mtls.ServeGRPC(t.Context(), b.mesh, cfg, func(opts ...grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(opts...)
			intercomv1.RegisterTokenExchangeServer(s, b)
			intercomv1.RegisterCredentialsServer(s, b)
			intercomv1.RegisterSidecarServer(s, b)
			intercomv1.RegisterDecisionsServer(s, b)
			return s
		})
	}()
	return b
}

// startEgress serves h as a broker's egress listener.
func startEgress(t *testing.T, d *embedded.Domain, address string, h http.Handler) *plug {
	t.Helper()
	p := listen(t, address)
	src := d.Source(d.ID("/broker"))
	l := mtls.ListenHTTP(p, mtls.Config{TLS: mtls.Server(src, src, mtls.AllowDomains(d.Name()), "h2", "http/1.1")})
	go func() { _ = mtls.ServeHTTP(t.Context(), p, l, &http.Server{Handler: h}, time.Millisecond) }()
	return p
}

func domain(t *testing.T, cfg embedded.Config) *embedded.Domain {
	t.Helper()
	d, err := embedded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dial returns a client of these brokers, whose SPIFFE ID must be /broker.
func dial(t *testing.T, d *embedded.Domain, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Source = d.Source(d.ID("/orders"))
	cfg.Brokers = tlsconfig.AuthorizeID(d.ID("/broker"))
	if cfg.Addresses == nil {
		cfg.Addresses = []string{"127.0.0.1:1"}
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience.Until(t, what, ok)
}
