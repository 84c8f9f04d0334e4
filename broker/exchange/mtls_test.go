package exchange_test

import (
	"context"
	"net"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/embedded"
	"github.com/intercom-broker/intercom/broker/mtls"
	"github.com/intercom-broker/intercom/broker/token"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// TestOverMTLSATokenIsBoundToTheCertificate walks from the handshake to the service that takes the token.
func TestOverMTLSATokenIsBoundToTheCertificate(t *testing.T) {
	domain, err := embedded.New(embedded.Config{Name: spiffeid.RequireTrustDomainFromString("a.test")})
	if err != nil {
		t.Fatal(err)
	}
	b, us, caller := newBroker(t), domain.Source(domain.ID("/broker")), domain.Source(ordersID)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- mtls.ServeGRPC(ctx, l, mtls.Config{TLS: mtls.Server(us, us, mtls.AllowDomains(domain.Name()), "h2")}, func(opts ...grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(opts, grpc.UnaryInterceptor(authn.UnaryInterceptor()))...)
			b.Register(s)
			return s
		})
	}()
	conn, err := grpc.NewClient(l.Addr().String(),
		grpc.WithTransportCredentials(mtls.ClientCredentials(mtls.Client(caller, caller, tlsconfig.AuthorizeID(us.ID()), "h2"))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	reply, err := intercomv1.NewTokenExchangeClient(conn).Exchange(t.Context(), &intercomv1.ExchangeRequest{Audience: []string{"ledger"}})
	if err != nil {
		t.Fatal(err)
	}
	svid, err := caller.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	other, err := us.GetX509SVID()
	if err != nil {
		t.Fatal(err)
	}
	ledger := token.Verifier{Issuer: issuer, Audience: "ledger", Keys: token.LocalKeys(b.ring.Lookup)}
	if claims, err := ledger.Verify(t.Context(), reply.GetAccessToken(), svid.Certificates[0]); err != nil || claims.Subject != ordersID.String() {
		t.Errorf("from its owner: %+v, %v", claims, err)
	}
	if _, err := ledger.Verify(t.Context(), reply.GetAccessToken(), other.Certificates[0]); err == nil {
		t.Error("the service takes it from another")
	}
	if _, err := ledger.Verify(t.Context(), reply.GetAccessToken(), nil); err == nil {
		t.Error("the service takes it from nobody")
	}
}
