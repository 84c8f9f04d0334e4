package token

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/intercom-broker/intercom/broker/fault"
)

// Authenticate is [Verifier.Handler] for gRPC: it returns ctx with the Claims of the token in the call's
// metadata, or a status error. It is not an interceptor itself, so that this package does not link a
// gRPC server into services that have none; one is three lines around it:
//
//	func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
//		ctx, err := verifier.Authenticate(ctx)
//		if err != nil {
//			return nil, err
//		}
//		return handle(ctx, req)
//	}
func (v *Verifier) Authenticate(ctx context.Context) (context.Context, error) {
	raw, err := bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
	var c Claims
	if err == nil {
		c, err = v.Verify(ctx, raw, peerIn(ctx))
	}
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	return NewContext(ctx, c), nil
}

func peerIn(ctx context.Context) *x509.Certificate {
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return peerOf(&info.State)
		}
	}
	return nil
}
