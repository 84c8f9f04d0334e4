package pdp

import (
	"context"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Bounds on a question. Names of ours are far shorter.
const (
	maxQuestion = 64 << 10
	maxName     = 2048
)

// Register adds the gRPC door.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	intercomv1.RegisterDecisionsServer(r, &server{service: s})
}

type server struct {
	intercomv1.UnimplementedDecisionsServer
	service *Service
}

// Evaluate implements the service. A denial is an answer, not an error.
func (d *server) Evaluate(ctx context.Context, req *intercomv1.EvaluateRequest) (*intercomv1.EvaluateResponse, error) {
	q, err := question(req)
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	allow, g, err := d.service.Evaluate(ctx, q)
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	return &intercomv1.EvaluateResponse{Provenance: provenance(g), Decision: allow}, nil
}

// Explain implements the service.
func (d *server) Explain(ctx context.Context, req *intercomv1.ExplainRequest) (*intercomv1.ExplainResponse, error) {
	e, g, err := d.explain(ctx, req)
	if err != nil {
		return nil, fault.Status(err).Err()
	}
	response := &intercomv1.ExplainResponse{
		Provenance: provenance(g), Decision: e.Allow, Reason: e.Why, Rule: rule(e.Rule), SmallestGrant: e.SmallestGrant,
	}
	for _, near := range e.NearMisses {
		response.NearMisses = append(response.NearMisses, &intercomv1.NearMiss{Rule: rule(&near.Rule), Differs: near.Differs})
	}
	return response, nil
}

func (d *server) explain(ctx context.Context, req *intercomv1.ExplainRequest) (policy.Explanation, *pep.Grant, error) {
	switch about := req.GetAbout().(type) {
	case *intercomv1.ExplainRequest_DecisionId:
		return d.service.ExplainDecision(ctx, about.DecisionId)
	case *intercomv1.ExplainRequest_Question:
		q, err := question(about.Question)
		if err != nil {
			return policy.Explanation{}, nil, err
		}
		return d.service.Explain(ctx, q)
	default:
		return policy.Explanation{}, nil, invalid("want a decision id or a question")
	}
}

// question reads AuthZEN's four parts. The subject is taken as if it had proven itself by mTLS.
func question(req *intercomv1.EvaluateRequest) (policy.Request, error) {
	subject, resource := req.GetSubject(), req.GetResource()
	if proto.Size(req) > maxQuestion {
		return policy.Request{}, fault.Newf(fault.TooLarge, "", "a question has at most %d bytes", maxQuestion)
	}
	for _, name := range []string{subject.GetId(), resource.GetType(), resource.GetId(), req.GetAction().GetName()} {
		if len(name) > maxName {
			return policy.Request{}, invalid("a name has at most %d bytes", maxName)
		}
	}
	switch {
	case resource.GetType() == "" || req.GetAction().GetName() == "":
		return policy.Request{}, invalid("want a subject, an action and a resource")
	case subject.GetType() != "spiffe":
		return policy.Request{}, fault.New(fault.Unsupported, "SUBJECT_UNSUPPORTED", "only subjects of type spiffe are in this version")
	}
	id, err := spiffeid.FromString(subject.GetId())
	if err != nil {
		return policy.Request{}, invalid("the subject is not a SPIFFE ID")
	}
	return policy.Request{
		Principal: identity.Principal{Workload: identity.Workload{ID: id, Proof: identity.ByX509SVID}},
		Action:    req.GetAction().GetName(),
		Resource:  policy.Entity{Type: resource.GetType(), ID: resource.GetId(), Properties: resource.GetProperties().AsMap()},
		Context:   req.GetContext().AsMap(),
	}, nil
}

func invalid(format string, args ...any) error {
	return fault.Newf(fault.InvalidRequest, "", format, args...)
}

func provenance(g *pep.Grant) *intercomv1.Provenance {
	return &intercomv1.Provenance{DecisionId: g.ID, PolicyRevision: g.Decision.Revision}
}

func rule(r *policy.Rule) *intercomv1.Rule {
	if r == nil {
		return nil
	}
	return &intercomv1.Rule{File: r.File, Line: uint32(max(r.Line, 0)), Text: r.Text} // files have at most 16 MiB
}
