package authn

import (
	"context"
	"crypto/tls"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/mtls"
)

// FromTLS returns the workload at the other end of a connection that package mtls verified, unless its
// certificate has ended since.
func FromTLS(state tls.ConnectionState) (identity.Principal, error) {
	id, cert, err := mtls.Peer(state)
	if err != nil {
		return identity.Principal{}, unauthenticated("no valid client certificate on this connection").Because(err)
	}
	return identity.Principal{Workload: identity.Workload{
		ID: id, Proof: identity.ByX509SVID, Thumbprint: mtls.Thumbprint(cert), NotAfter: cert.NotAfter,
	}}, nil
}

func unauthenticated(message string) *fault.Error {
	return fault.New(fault.Unauthenticated, "", message)
}

// fromContext returns the peer of a gRPC call.
func fromContext(ctx context.Context) (identity.Principal, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return identity.Principal{}, unauthenticated("no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return identity.Principal{}, unauthenticated("a connection without TLS")
	}
	return FromTLS(info.State)
}

// UnaryInterceptor puts the caller's Principal into the context, or refuses the call.
func UnaryInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		p, err := fromContext(ctx)
		if err != nil {
			return nil, fault.Status(err).Err()
		}
		return next(identity.NewContext(ctx, p), req)
	}
}

// StreamInterceptor is [UnaryInterceptor] for streams. A stream outlives the moment of its proof; its
// connection ends it at the certificate's notAfter.
func StreamInterceptor() grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		p, err := fromContext(stream.Context())
		if err != nil {
			return fault.Status(err).Err()
		}
		return next(srv, &streamOf{stream, identity.NewContext(stream.Context(), p)})
	}
}

type streamOf struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s *streamOf) Context() context.Context { return s.ctx }

// HTTP puts the caller's Principal into the request's context, or answers 401 with a problem.
func HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			fault.WriteProblem(w, unauthenticated("a connection without TLS"))
			return
		}
		p, err := FromTLS(*r.TLS)
		if err != nil {
			fault.WriteProblem(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(identity.NewContext(r.Context(), p)))
	})
}
