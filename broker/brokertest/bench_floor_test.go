package brokertest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// bare is what the floor of an exchange does: it signs as many bytes as a token has, appends 300, and
// answers with nothing.
type bare struct {
	intercomv1.UnimplementedTokenExchangeServer
	key   *ecdsa.PrivateKey
	input string
	line  []byte
	file  *os.File
	sync  *groupSync // nil: the kernel takes its time
}

// Exchange implements the service.
func (s *bare) Exchange(context.Context, *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	if _, err := jwt.SigningMethodES256.Sign(s.input, s.key); err != nil {
		return nil, err
	}
	if _, err := s.file.Write(s.line); err != nil {
		return nil, err
	}
	if s.sync != nil {
		if err := s.sync.wait(); err != nil {
			return nil, err
		}
	}
	return &intercomv1.ExchangeResponse{}, nil
}

// groupSync lets those that wait at the same time share one fsync.
type groupSync struct {
	file *os.File
	lead chan struct{} // held by whoever syncs

	mu   sync.Mutex
	next *round
}

type round struct {
	done chan struct{}
	err  error // valid when done is closed
}

func newGroupSync(f *os.File) *groupSync {
	return &groupSync{file: f, lead: make(chan struct{}, 1), next: &round{done: make(chan struct{})}}
}

// wait returns when an fsync ended that began after the call.
func (g *groupSync) wait() error {
	g.mu.Lock()
	mine := g.next
	g.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case g.lead <- struct{}{}:
	}
	defer func() { <-g.lead }()
	g.mu.Lock()
	if g.next != mine { // somebody led it while we waited for the lead
		g.mu.Unlock()
		return mine.err
	}
	g.next = &round{done: make(chan struct{})}
	g.mu.Unlock()
	mine.err = g.file.Sync()
	close(mine.done)
	return mine.err
}

// floorCall serves bare at a door of its own and calls it with the client that sidecars have.
func floorCall(b *testing.B, always bool) call {
	b.Helper()
	domain, err := embedded.New(embedded.Config{})
	must(b, err)
	s := &bare{input: strings.Repeat("x", 500), line: []byte(strings.Repeat("x", 299) + "\n")}
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	s.file, err = os.OpenFile(filepath.Join(b.TempDir(), "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	must(b, err)
	b.Cleanup(func() { _ = s.file.Close() })
	if always {
		s.sync = newGroupSync(s.file)
	}
	c, err := client.New(client.Config{
		Addresses: []string{s.serve(b, domain)}, Source: domain.Source(domain.ID("/orders")),
		Brokers: tlsconfig.AuthorizeID(domain.ID("/broker")),
	})
	must(b, err)
	b.Cleanup(func() { _ = c.Close() })
	return func(ctx context.Context) error {
		_, err := c.Exchange(ctx, &intercomv1.ExchangeRequest{})
		return err
	}
}

// serve has of the broker's door what makes it mutually authenticated gRPC, and nothing that watches or
// limits.
func (s *bare) serve(b *testing.B, domain *embedded.Domain) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	broker := domain.Source(domain.ID("/broker"))
	door := mtls.Config{TLS: mtls.Server(broker, broker, mtls.AllowDomains(domain.Name()), "h2"), Grace: time.Second}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- mtls.ServeGRPC(ctx, l, door, func(opts ...grpc.ServerOption) *grpc.Server {
			srv := grpc.NewServer(append(opts, grpc.ChainUnaryInterceptor(authn.UnaryInterceptor()))...)
			intercomv1.RegisterTokenExchangeServer(srv, s)
			return srv
		})
	}()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}
