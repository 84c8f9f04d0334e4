package svid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"golang.org/x/sync/singleflight"

	"github.com/intercom-broker/intercom/broker/fault"
)

const (
	fetchTimeout = 10 * time.Second
	// lastUse is how long before its end a JWT-SVID is still handed out when no other can be had: time
	// for it to arrive and be verified.
	lastUse = 10 * time.Second
	// maxAudiences bounds the cache. Audiences come from our configuration, and there are few.
	maxAudiences = 256
)

// FetchJWTSVID returns a JWT-SVID of ours whose only audience is audience. It is kept until half of its
// life is over, and beyond that while the Workload API does not answer. Callers at the same time share
// one request.
func (s *Source) FetchJWTSVID(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	if s.tokens.client == nil {
		return nil, fault.New(fault.Unavailable, "JWT_SVID_FROM_FILES", "JWT-SVIDs come from a Workload API only, and our identity comes from files")
	}
	if audience == "" {
		return nil, fault.New(fault.InvalidRequest, "", "a JWT-SVID needs an audience")
	}
	return s.tokens.fetch(ctx, audience)
}

// tokens is the cache of JWT-SVIDs, by audience: one string, so that no two sets of audiences can meet
// under one key.
type tokens struct {
	source *Source
	client *workloadapi.Client // nil when our identity comes from files
	flight singleflight.Group

	mu   sync.Mutex
	held map[string]token
}

type token struct {
	svid  *jwtsvid.SVID
	renew time.Time
}

func newTokens(s *Source) *tokens { return &tokens{source: s, held: map[string]token{}} }

func (t *tokens) fetch(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	t.mu.Lock()
	held := t.held[audience]
	t.mu.Unlock()
	now := t.source.cfg.Now()
	if held.svid != nil && held.svid.ID != t.source.ID() {
		held = token{} // we are somebody else since
	}
	if held.svid != nil && now.Before(held.renew) {
		return held.svid, nil
	}
	fresh, err := t.request(ctx, audience)
	if err == nil {
		return fresh, nil
	}
	if held.svid != nil && now.Add(lastUse).Before(held.svid.Expiry) {
		return held.svid, nil
	}
	return nil, fault.New(fault.Unavailable, "JWT_SVID_UNAVAILABLE", "no JWT-SVID can be had at the moment").Because(err)
}

// request shares one flight per audience, which goes on when the caller that started it goes away.
func (t *tokens) request(ctx context.Context, audience string) (*jwtsvid.SVID, error) {
	answer := t.flight.DoChan(audience, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		svid, err := t.client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: t.source.ID()})
		if err == nil {
			err = t.check(svid, audience)
		}
		if err != nil {
			t.source.failed(whatToken, err)
			return nil, err
		}
		t.source.succeeded(whatToken)
		t.keep(audience, svid)
		return svid, nil
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*jwtsvid.SVID), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// check holds the answer to the question.
func (t *tokens) check(svid *jwtsvid.SVID, audience string) error {
	switch {
	case svid.ID != t.source.ID():
		return fmt.Errorf("asked for a JWT-SVID of %s, got one of %s", t.source.ID(), svid.ID)
	case !slices.Equal(svid.Audience, []string{audience}):
		return fmt.Errorf("asked for the audience %q, got %q", audience, svid.Audience)
	case !t.source.cfg.Now().Before(svid.Expiry):
		return errors.New("got a JWT-SVID that has ended")
	}
	return nil
}

func (t *tokens) keep(audience string, svid *jwtsvid.SVID) {
	now := t.source.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.held) >= maxAudiences {
		clear(t.held)
	}
	t.held[audience] = token{svid: svid, renew: now.Add(svid.Expiry.Sub(now) / 2)}
}
