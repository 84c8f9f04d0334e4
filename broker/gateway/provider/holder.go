package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/gateway/dpop"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Holder asks for tokens in the name of who holds some already, and the key that they are bound to.
type Holder struct {
	provider *Provider
	key      secret.Value
}

// Holding returns the holder of the key in [Tokens].Key; zero is that of tokens that are bound to none.
func (p *Provider) Holding(key secret.Value) Holder { return Holder{p, key} }

// Refresh is [Holder.Refresh] for tokens that are bound to no key.
func (p *Provider) Refresh(ctx context.Context, refresh secret.Value, held Claims) (Tokens, Claims, error) {
	return p.Holding(secret.Value{}).Refresh(ctx, refresh, held)
}

// Exchange is [Holder.Exchange] for tokens that are bound to no key.
func (p *Provider) Exchange(ctx context.Context, subject secret.Value, audience string, scope ...string) (Exchanged, error) {
	return p.Holding(secret.Value{}).Exchange(ctx, subject, audience, scope...)
}

func (h Holder) ready() (*ready, dpop.Key, error) {
	r, err := h.provider.ready()
	if err != nil {
		return nil, dpop.Key{}, err
	}
	key, err := dpop.ParseKey(h.key)
	return r, key, err
}

// newKey is what a login's tokens will be bound to; none where that is switched off.
func (p *Provider) newKey() (dpop.Key, error) {
	if !p.cfg.DPoP {
		return dpop.Key{}, nil
	}
	return dpop.NewKey()
}

// tokenType is how tokens are to be used that are asked for with that key.
func tokenType(key dpop.Key) string {
	if key.IsZero() {
		return "Bearer"
	}
	return typeDPoP
}

// typeDPoP is the type of tokens that are bound to a key (RFC 9449, section 5).
const typeDPoP = "DPoP"

// ReasonProof is that of tokens that did not come because the provider and this gateway are not at one whether, or how,
// they are bound to a key.
const ReasonProof = "PROVIDER_PROOF"

// unproven says which setting a refusal is about that is about a proof of possession, or about there being none.
func unproven(err error, key dpop.Key) error {
	refused, ok := errors.AsType[*RefusedError](err)
	switch {
	case !ok || !refused.ofProof():
		return err
	case key.IsZero():
		return fault.New(fault.Internal, ReasonProof, "the login provider binds this client's tokens to a key: set provider.dpop").Because(refused)
	}
	return fault.New(fault.Internal, ReasonProof, "the login provider does not take our proof of possession: compare its clock and its address with ours").Because(refused)
}

// ofProof: Keycloak has invalid_request where RFC 9449, section 5, has a code of its own.
func (e *RefusedError) ofProof() bool {
	return e.Code == "invalid_dpop_proof" || e.Code == "use_dpop_nonce" || e.Code == "invalid_request" && strings.Contains(e.Description, "DPoP")
}

// unbound is for a token that anybody could use, where one was asked for that nobody else can.
func unbound(got string) *fault.Error {
	return fault.New(fault.InvalidGrant, ReasonProof, "the login provider did not bind the tokens to our key: it knows no DPoP, or something before it takes that field away; see provider.dpop").
		Because(fmt.Errorf("the token_type is %q", short(got)))
}

// postWith asks the token endpoint with a proof of the key, and once more with the nonce that the provider wants
// (RFC 9449, section 8). What was refused for that has had no effect.
func (p *Provider) postWith(ctx context.Context, r *ready, key dpop.Key, form url.Values) (answer, error) {
	got, err := p.proving(ctx, r, key, form)
	if err != nil || got.status != http.StatusBadRequest || got.refusal().Code != "use_dpop_nonce" {
		return got, err
	}
	return p.proving(ctx, r, key, form)
}

func (p *Provider) proving(ctx context.Context, r *ready, key dpop.Key, form url.Values) (answer, error) {
	header := http.Header{}
	if !key.IsZero() {
		proof, err := key.Proof(dpop.Use{Method: http.MethodPost, URL: r.Token, Nonce: p.nonce(), Now: p.cfg.Now()})
		if err != nil {
			return answer{}, fault.New(fault.Internal, "", "internal error").Because(err)
		}
		header.Set(dpop.Header, proof)
	}
	got, err := p.postHeaded(ctx, r, r.Token, form, header)
	if nonce := got.header.Get(dpop.HeaderNonce); err == nil && nonce != "" && len(nonce) <= maxNonce {
		p.lastNonce.Store(&nonce)
	}
	return got, err
}

// maxNonce bounds what is said back.
const maxNonce = 512

// nonce is the latest that the provider has given; empty where it gives none.
func (p *Provider) nonce() string {
	if nonce := p.lastNonce.Load(); nonce != nil {
		return *nonce
	}
	return ""
}
