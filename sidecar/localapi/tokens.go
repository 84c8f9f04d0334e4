package localapi

import (
	"context"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/client"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
	"github.com/intercom-broker/intercom/sidecar/cache"
)

// tokenKey is what a token depends on. The scope's tokens hold no space (RFC 6749, section 3.3), so two
// lists of them are never one text.
type tokenKey struct {
	audience string
	scope    string
	conn     *client.Conn // the SVID that the token is bound to; nil for a bearer token
}

// token is a minted token as it is kept.
type token struct {
	value    secret.Value
	scope    string
	decision string
}

// key is that of the service's own tokens.
func (rt *route) key(conn *client.Conn) tokenKey {
	k := tokenKey{audience: rt.spec.GetAudience(), scope: strings.Join(rt.spec.GetScope(), " ")}
	if rt.bound() {
		k.conn = conn
	}
	return k
}

// tokenSource is the tokens' cache.Fetcher.
type tokenSource struct{ api *API }

// Fetch implements cache.Fetcher.
func (s tokenSource) Fetch(ctx context.Context, key tokenKey) (cache.Fetched[token], error) {
	req := &intercomv1.ExchangeRequest{Audience: []string{key.audience}, Scope: strings.Fields(key.scope), Bind: intercomv1.Bind_BIND_NONE}
	exchange := s.api.cfg.Client.Exchange
	if key.conn != nil {
		req.Bind, exchange = intercomv1.Bind_BIND_X5T_S256, key.conn.Exchange
	}
	resp, err := exchange(ctx, req)
	if err != nil {
		return cache.Fetched[token]{}, err
	}
	if resp.GetBind() != req.GetBind() {
		return cache.Fetched[token]{}, fault.New(fault.Internal, "WRONG_BINDING", "the credential broker bound the token otherwise than it was asked to")
	}
	return cache.Fetched[token]{
		Value: token{
			value:    secret.FromString(resp.GetAccessToken()),
			scope:    strings.Join(resp.GetScope(), " "),
			decision: resp.GetProvenance().GetDecisionId(),
		},
		Expires: key.end(resp.GetExpiresAt().AsTime()),
		Stale:   s.api.budget(s.api.services.audience(key.audience)),
	}, nil
}

// end is when a token is of no use any more: a bound one also when its SVID ends.
func (k tokenKey) end(expires time.Time) time.Time {
	if k.conn != nil && k.conn.NotAfter().Before(expires) {
		return k.conn.NotAfter()
	}
	return expires
}

// audience returns the token service of that audience, nil if there is none.
func (s *services) audience(audience string) *route {
	if c := s.last.Load(); c != nil {
		return c.audiences[audience]
	}
	return nil
}

// doubt drops a token that its service refused, for instance because keys were changed in an emergency;
// but not one that is in the first twentieth of its life: a service that refuses every token would else
// cost a fetch for each request.
func (a *API) doubt(key tokenKey, got cache.Served[token]) {
	if time.Since(got.Fetched) > got.Expires.Sub(got.Fetched)/20 {
		a.tokens.Forget(key)
	}
}

// Warm fetches the bound tokens that are in use anew, for the SVID that is about to be used. It fails while
// no broker answers, and not because one refuses: a refusal would be the same later.
func (a *API) Warm(ctx context.Context, next *client.Conn) error {
	var keys []tokenKey
	for _, key := range a.tokens.Keys() {
		if key.conn != nil && key.conn == a.cfg.Client.Conn() {
			keys = append(keys, tokenKey{key.audience, key.scope, next})
		}
	}
	failed := make(chan error, len(keys))
	for _, key := range keys {
		go func() { failed <- a.tokens.Warm(ctx, key) }()
	}
	var silent error
	for range keys {
		switch err := <-failed; fault.KindOf(err) {
		case fault.Unavailable, fault.Timeout, fault.Overloaded:
			silent = err
		}
	}
	return silent
}
