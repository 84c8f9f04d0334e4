package embedded

import (
	"context"
	"net"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
)

// API is the Workload API of one workload, with its socket open.
type API struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	source   *Source
	listener net.Listener
	address  string
}

// Listen opens the Workload API of id on a Unix socket. Clients may connect at once; [API.Run] answers them.
func (d *Domain) Listen(socketPath string, id spiffeid.ID) (*API, error) {
	addr, err := address(socketPath)
	if err != nil {
		return nil, err
	}
	l, err := listen(socketPath)
	if err != nil {
		return nil, err
	}
	return &API{source: d.Source(id), listener: l, address: addr}, nil
}

// Serve serves the SPIFFE Workload API of id on a Unix socket until ctx ends, and removes the socket.
func (d *Domain) Serve(ctx context.Context, socketPath string, id spiffeid.ID) error {
	api, err := d.Listen(socketPath, id)
	if err != nil {
		return err
	}
	return api.Run(ctx)
}

// Address returns the socket as clients want it, `unix:///…`.
func (a *API) Address() string { return a.address }

// Run serves until ctx ends, and removes the socket.
func (a *API) Run(ctx context.Context) error {
	server := grpc.NewServer(grpc.UnaryInterceptor(demandHeaderUnary), grpc.StreamInterceptor(demandHeaderStream))
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	// Stop, not GracefulStop: the streams have no end of their own, and a client takes the Unavailable of
	// a closed connection as a reason to come back.
	defer context.AfterFunc(ctx, server.Stop)()
	err := server.Serve(a.listener)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// demandHeader refuses a call without the header that a request forged through some proxy would lack
// (SPIFFE Workload Endpoint, section 6.1).
func demandHeader(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("workload.spiffe.io"); len(v) == 1 && v[0] == "true" {
		return nil
	}
	return status.Error(codes.InvalidArgument, "security header missing from request: workload.spiffe.io: true")
}

func demandHeaderUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := demandHeader(ctx); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func demandHeaderStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := demandHeader(stream.Context()); err != nil {
		return err
	}
	return next(srv, stream)
}

// stream sends what build returns, now and after every change, until the client goes away.
func stream[T any](a *API, s grpc.ServerStreamingServer[T], build func() (*T, error)) error {
	for {
		changed := a.source.Updated() // before build, so that no change falls between
		msg, err := build()
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		if err := s.Send(msg); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

// FetchX509SVID implements the Workload API.
func (a *API) FetchX509SVID(_ *workload.X509SVIDRequest, s grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	return stream(a, s, a.x509Response)
}

func (a *API) x509Response() (*workload.X509SVIDResponse, error) {
	current, err := a.source.GetX509SVID()
	if err != nil {
		return nil, err
	}
	chain, key, err := current.MarshalRaw()
	if err != nil {
		return nil, err
	}
	resp := &workload.X509SVIDResponse{FederatedBundles: map[string][]byte{}}
	for _, b := range a.source.domain.bundles().Bundles() {
		if td := b.TrustDomain(); td == a.source.domain.Name() {
			resp.Svids = []*workload.X509SVID{{SpiffeId: a.source.id.String(), X509Svid: chain, X509SvidKey: key, Bundle: rawAuthorities(b)}}
		} else {
			resp.FederatedBundles[td.IDString()] = rawAuthorities(b)
		}
	}
	return resp, nil
}

// rawAuthorities returns the X.509 authorities as the Workload API wants them: DER, one after the other.
func rawAuthorities(b *spiffebundle.Bundle) (der []byte) {
	for _, cert := range b.X509Authorities() {
		der = append(der, cert.Raw...)
	}
	return der
}

// FetchX509Bundles implements the Workload API.
func (a *API) FetchX509Bundles(_ *workload.X509BundlesRequest, s grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	return stream(a, s, func() (*workload.X509BundlesResponse, error) {
		resp := &workload.X509BundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range a.source.domain.bundles().Bundles() {
			resp.Bundles[b.TrustDomain().IDString()] = rawAuthorities(b)
		}
		return resp, nil
	})
}

// FetchJWTBundles implements the Workload API.
func (a *API) FetchJWTBundles(_ *workload.JWTBundlesRequest, s grpc.ServerStreamingServer[workload.JWTBundlesResponse]) error {
	return stream(a, s, func() (*workload.JWTBundlesResponse, error) {
		resp := &workload.JWTBundlesResponse{Bundles: map[string][]byte{}}
		for _, b := range a.source.domain.bundles().Bundles() {
			jwks, err := b.JWTBundle().Marshal()
			if err != nil {
				return nil, err
			}
			resp.Bundles[b.TrustDomain().IDString()] = jwks
		}
		return resp, nil
	})
}

// FetchJWTSVID implements the Workload API.
func (a *API) FetchJWTSVID(_ context.Context, req *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if len(req.GetAudience()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "audience must be specified")
	}
	if want := req.GetSpiffeId(); want != "" && want != a.source.id.String() {
		return nil, status.Error(codes.PermissionDenied, "no identity issued")
	}
	token, err := a.source.domain.JWTSVID(a.source.id, req.GetAudience()...)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: a.source.id.String(), Svid: token.Marshal()}}}, nil
}

// ValidateJWTSVID implements the Workload API.
func (a *API) ValidateJWTSVID(_ context.Context, req *workload.ValidateJWTSVIDRequest) (*workload.ValidateJWTSVIDResponse, error) {
	if req.GetAudience() == "" || req.GetSvid() == "" {
		return nil, status.Error(codes.InvalidArgument, "audience and svid must be specified")
	}
	token, err := jwtsvid.ParseAndValidate(req.GetSvid(), a.source.domain.bundles(), []string{req.GetAudience()})
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	claims, err := structpb.NewStruct(token.Claims)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &workload.ValidateJWTSVIDResponse{SpiffeId: token.ID.String(), Claims: claims}, nil
}
