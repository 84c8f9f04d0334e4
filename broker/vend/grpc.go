package vend

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intercom-broker/intercom/broker/credential"
	"github.com/intercom-broker/intercom/broker/fault"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	intercomv1.RegisterCredentialsServer(r, &server{service: s})
}

type server struct {
	intercomv1.UnimplementedCredentialsServer
	service *Service
}

// Lease implements the service.
func (d *server) Lease(ctx context.Context, req *intercomv1.LeaseRequest) (*intercomv1.LeaseResponse, error) {
	if ttl := req.GetMinTtl(); ttl != nil && ttl.CheckValid() != nil {
		return nil, fault.Status(fault.New(fault.InvalidRequest, "", "the least life is not a duration")).Err()
	}
	lease, err := d.service.Lease(ctx, Request{Credential: req.GetCredential(), MinTTL: req.GetMinTtl().AsDuration(), Purpose: req.GetPurpose()})
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	return lease.response(), nil
}

// response puts the fields on the wire: here and nowhere else do they leave their closures. Go prints
// fields that are marked debug_redact all the same, so a response is for the stream and never for a log.
func (l Lease) response() *intercomv1.LeaseResponse {
	fields := make(map[string][]byte, len(l.Fields))
	for name, value := range l.Fields {
		fields[name] = value.Reveal()
	}
	return &intercomv1.LeaseResponse{
		Provenance: &intercomv1.Provenance{
			DecisionId: l.Decision, PolicyRevision: l.Revision, ServedFrom: servedFrom(l.From),
			Age: durationpb.New(l.Age), HardDeadline: timestamppb.New(l.HardDeadline),
		},
		Credential: &intercomv1.Credential{
			Name: string(l.Name), Version: l.Version, Fields: fields, LeaseRef: string(l.Lease),
			NotAfter: timestamppb.New(l.NotAfter), RenewAfter: timestamppb.New(l.RenewAfter),
		},
	}
}

func servedFrom(f credential.From) intercomv1.ServedFrom {
	switch f {
	case credential.Live:
		return intercomv1.ServedFrom_SERVED_FROM_LIVE
	case credential.Cached:
		return intercomv1.ServedFrom_SERVED_FROM_CACHE
	default:
		return intercomv1.ServedFrom_SERVED_FROM_STALE
	}
}
