package localapi

import (
	"context"
	"time"

	"github.com/intercom-broker/intercom/broker/secret"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

// lease is a credential as it is kept.
type lease struct {
	name     string
	version  uint64
	fields   map[string]secret.Value
	renew    time.Time
	decision string
}

// leaseSource is the credentials' cache.Fetcher. Its key is the credential's name.
type leaseSource struct{ api *API }

// Fetch implements cache.Fetcher.
func (s leaseSource) Fetch(ctx context.Context, name string) (cache.Fetched[lease], error) {
	resp, err := s.api.cfg.Client.Lease(ctx, &intercomv1.LeaseRequest{Credential: name})
	if err != nil {
		return cache.Fetched[lease]{}, err
	}
	cred := resp.GetCredential()
	l := lease{
		name: name, version: cred.GetVersion(), fields: make(map[string]secret.Value, len(cred.GetFields())),
		decision: resp.GetProvenance().GetDecisionId(),
	}
	for field, value := range cred.GetFields() {
		l.fields[field] = secret.New(value)
	}
	got := cache.Fetched[lease]{Expires: leaseEnd(resp), Stale: s.api.budget(s.api.services.vending(name))}
	if after := cred.GetRenewAfter(); after != nil {
		l.renew, got.RenewAfter = after.AsTime(), after.AsTime()
	}
	got.Value = l
	return got, nil
}

// leaseEnd is the first of the lease's end and the hard deadline. With neither, it has ended: what has no
// end is not handed out.
func leaseEnd(resp *intercomv1.LeaseResponse) (end time.Time) {
	if at := resp.GetCredential().GetNotAfter(); at != nil {
		end = at.AsTime()
	}
	if at := resp.GetProvenance().GetHardDeadline(); at != nil && (end.IsZero() || at.AsTime().Before(end)) {
		end = at.AsTime()
	}
	return end
}

// vending returns the vend service of that credential, nil if there is none.
func (s *services) vending(credential string) *route {
	if c := s.last.Load(); c != nil {
		return c.credentials[credential]
	}
	return nil
}
