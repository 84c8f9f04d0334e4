package vend

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// Catalogs is the service files in force; *service.Watcher is one.
type Catalogs interface {
	Current() *service.Catalog
	Changed() <-chan struct{}
}

// Policy decides, and tells when it changes; *policy.Engine is one.
type Policy interface {
	policy.Decider
	Changed() <-chan struct{}
}

// Sidecars tells sidecars which services there are, and what they need to reach them. Nothing is handed
// out here, so nothing is decided for the record: the call, the token and the credential are.
type Sidecars struct {
	// Services is required.
	Services Catalogs
	// Policy is required.
	Policy Policy
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
	// Metrics counts; nil counts nothing.
	Metrics *Metrics
}

// Register adds the gRPC door.
func (s *Sidecars) Register(r grpc.ServiceRegistrar) {
	intercomv1.RegisterSidecarServer(r, &watcher{sidecars: s})
}

type watcher struct {
	intercomv1.UnimplementedSidecarServer
	sidecars *Sidecars
}

// WatchServices implements the service.
func (d *watcher) WatchServices(_ *intercomv1.WatchServicesRequest, stream grpc.ServerStreamingServer[intercomv1.WatchServicesResponse]) error {
	err := d.sidecars.watch(stream.Context(), stream.Send)
	return fault.Status(err).Err()
}

// watch sends the state at once and at every change, until the caller goes away or its SVID ends: a
// stream must not outlive the proof that it was opened with.
func (s *Sidecars) watch(ctx context.Context, send func(*intercomv1.WatchServicesResponse) error) error {
	p, ok := identity.FromContext(ctx)
	if !ok {
		return fault.New(fault.Unauthenticated, "", "nobody is asking")
	}
	s.Metrics.watching(1)
	defer s.Metrics.watching(-1)
	end := time.NewTimer(p.NotAfter().Sub(s.now()))
	defer end.Stop()
	for {
		files, rules := s.Services.Changed(), s.Policy.Changed() // before the state, so that no change is missed
		if err := send(s.state(ctx, p)); err != nil {
			return err
		}
		select {
		case <-files:
		case <-rules:
		case <-end.C:
			return fault.New(fault.Unauthenticated, "SVID_ENDED", "the SVID that the stream was opened with is at its end")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state is the whole of what p is told.
func (s *Sidecars) state(ctx context.Context, p identity.Principal) *intercomv1.WatchServicesResponse {
	c := s.Services.Current()
	r := &intercomv1.WatchServicesResponse{Provenance: &intercomv1.Provenance{}, Revision: c.Revision()}
	for _, svc := range c.All() {
		told, revision := s.tell(ctx, p, svc)
		r.Services = append(r.Services, told)
		r.Provenance.PolicyRevision = revision
	}
	return r
}

// tell says of svc what p may know.
func (s *Sidecars) tell(ctx context.Context, p identity.Principal, svc *service.Service) (*intercomv1.Service, string) {
	told := &intercomv1.Service{Name: svc.Name, Mode: mode(svc.Mode), Stale: durationpb.New(svc.Stale)}
	if svc.Token != nil {
		told.Audience = svc.Token.Audience
	}
	if svc.Vend != nil {
		told.Credential = svc.Vend.Credential
	}
	action, resource := question(svc)
	d, err := s.Policy.Decide(ctx, policy.Request{Principal: p, Action: action, Resource: resource, Time: s.now()})
	if err != nil && s.Logger != nil {
		s.Logger.WarnContext(ctx, "sidecars: a decision failed, so nothing is told", "service", svc.Name, "err", err)
	}
	if err != nil || !d.Allow {
		return told, d.Revision
	}
	if svc.Token != nil {
		tellToken(told, svc)
	}
	if svc.Vend != nil {
		told.Ttl = durationpb.New(svc.Vend.TTL)
	}
	return told, d.Revision
}

// question is what a caller of svc will be asked. For an injected service there are as many as it has
// paths, and nothing more to tell: the broker alone needs to know where it is.
func question(svc *service.Service) (action string, resource policy.Entity) {
	switch svc.Mode {
	case service.ModeToken:
		return policy.ActionExchange, policy.Entity{Type: "audience", ID: svc.Token.Audience}
	case service.ModeVend:
		return policy.ActionVend, policy.Entity{Type: "credential", ID: svc.Vend.Credential}
	default:
		return policy.ActionCall, policy.Entity{Type: "service", ID: svc.Name}
	}
}

func tellToken(told *intercomv1.Service, svc *service.Service) {
	if u := svc.Upstream.URL; u != nil {
		told.Url = u.String()
	}
	told.Scope, told.Bind = svc.Token.Scope, intercomv1.Bind_BIND_NONE
	if svc.Token.Bind == service.BindSVID {
		told.Bind = intercomv1.Bind_BIND_X5T_S256
	}
	for _, network := range svc.Upstream.Dial {
		told.Dial = append(told.Dial, network.String())
	}
}

func mode(m service.Mode) intercomv1.Mode {
	switch m {
	case service.ModeToken:
		return intercomv1.Mode_MODE_TOKEN
	case service.ModeInject:
		return intercomv1.Mode_MODE_INJECT
	case service.ModeVend:
		return intercomv1.Mode_MODE_VEND
	}
	return intercomv1.Mode_MODE_UNSPECIFIED
}

func (s *Sidecars) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
