package exchange

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	intercomv1.RegisterTokenExchangeServer(r, &server{service: s})
}

// server is the gRPC door. What is not given is empty on the wire, as it is in Request.
type server struct {
	intercomv1.UnimplementedTokenExchangeServer
	service *Service
}

// Exchange implements the service.
func (d *server) Exchange(ctx context.Context, req *intercomv1.ExchangeRequest) (*intercomv1.ExchangeResponse, error) {
	bind := BindX5T + 1 // what a newer client may ask for and we do not know
	switch req.GetBind() {
	case intercomv1.Bind_BIND_UNSPECIFIED:
		bind = BindDefault
	case intercomv1.Bind_BIND_NONE:
		bind = BindNone
	case intercomv1.Bind_BIND_X5T_S256:
		bind = BindX5T
	}
	issued, err := d.service.Exchange(ctx, Request{
		SubjectToken: secret.FromString(req.GetSubjectToken()), SubjectTokenType: req.GetSubjectTokenType(),
		ActorToken: secret.FromString(req.GetActorToken()), ActorTokenType: req.GetActorTokenType(),
		Resource: req.GetResource(), Audience: req.GetAudience(), Scope: req.GetScope(),
		RequestedTokenType: req.GetRequestedTokenType(), Bind: bind,
	})
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	return issued.response(), nil
}

func (i Issued) response() *intercomv1.ExchangeResponse {
	bind := intercomv1.Bind_BIND_NONE
	if i.Bind == service.BindSVID {
		bind = intercomv1.Bind_BIND_X5T_S256
	}
	return &intercomv1.ExchangeResponse{
		Provenance: &intercomv1.Provenance{
			DecisionId: i.Decision, PolicyRevision: i.Revision, ServedFrom: intercomv1.ServedFrom_SERVED_FROM_LIVE,
			Age: durationpb.New(0), HardDeadline: timestamppb.New(i.Expiry),
		},
		AccessToken: string(i.Token.Reveal()), IssuedTokenType: TypeAccessToken, TokenType: "Bearer",
		ExpiresAt: timestamppb.New(i.Expiry), Scope: i.Scope, Bind: bind,
	}
}
