package pdp

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// reading is what a caller does who watches the policy.
func reading() policy.Entity { return policy.Entity{Type: policy.ActionAdmin, ID: "policy"} }

// heartbeat is how often a watcher hears that what he holds is still in force. A stream that is open says little: the
// kernel of a broker that hangs keeps it so.
const heartbeat = 5 * time.Second

// WatchPolicy implements the service.
func (d *server) WatchPolicy(req *intercomv1.WatchPolicyRequest, stream grpc.ServerStreamingServer[intercomv1.WatchPolicyResponse]) error {
	err := d.service.watch(stream.Context(), req.GetRevision(), stream.Send)
	return fault.Status(err).Err()
}

// watch is one act, from the first policy that is sent to the last. It ends with the caller's proof, and
// when the policy that it would send next says that it may not be sent.
func (s *Service) watch(ctx context.Context, held string, send func(*intercomv1.WatchPolicyResponse) error) (err error) {
	g, err := s.Point.Check(ctx, policy.ActionAdmin, reading())
	if err != nil {
		return err
	}
	defer func() { g.Done(pep.Outcome{Err: err}) }()
	end := time.NewTimer(g.Principal.NotAfter().Sub(s.now()))
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		changed := s.Policy.Changed()
		if held, err = s.send(g, held, send); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-beat.C:
		case <-end.C:
			return fault.New(fault.Unauthenticated, "SVID_ENDED", "the SVID that the stream was opened with is at its end")
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.Point.Still(ctx, g); err != nil {
			return err
		}
	}
}

// send sends the policy in force, without its text where the caller holds it, and returns its revision.
func (s *Service) send(g *pep.Grant, held string, send func(*intercomv1.WatchPolicyResponse) error) (string, error) {
	revision, archive, err := s.Policy.Archive()
	if err != nil {
		return held, fault.New(fault.Unavailable, "POLICY_UNAVAILABLE", "the policy in force cannot be sent").Because(err)
	}
	if revision == held {
		archive = nil
	}
	return revision, send(&intercomv1.WatchPolicyResponse{Provenance: provenance(g), Revision: revision, Archive: archive})
}
