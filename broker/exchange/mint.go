package exchange

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/token"
)

// Mint mints a token for an act that g allows already: egress puts it into the caller's request. The
// caller is its subject. A cnf that is not empty binds it.
func (s *Service) Mint(ctx context.Context, g *pep.Grant, audience string, scope []string, cnf string) (secret.Value, time.Time, error) {
	signed, expiry, err := s.mint(ctx, order{caller: g.Principal, audience: audience, scope: scope, cnf: cnf})
	if err != nil {
		return secret.Value{}, time.Time{}, fault.WithDecision(err, g.ID)
	}
	bind := service.BindNone
	if cnf != "" {
		bind = service.BindSVID
	}
	s.Metrics.minted(bind, forRequest)
	return signed, expiry, nil
}

// order is what a token shall say.
type order struct {
	caller   identity.Principal
	subject  *Subject  // nil: the caller itself
	actor    time.Time // when the actor token ends; zero: there is none
	audience string
	scope    []string
	cnf      string
}

// mint signs. The token ends before everything that it rests on does.
func (s *Service) mint(ctx context.Context, o order) (secret.Value, time.Time, error) {
	now := s.now()
	claims := token.Claims{
		Issuer: s.Issuer, Subject: o.caller.Subject(), ClientID: o.caller.Subject(), Audience: []string{o.audience},
		IssuedAt: now, Expiry: earliest(now.Add(s.maxLife()), o.caller.NotAfter()), Scope: o.scope, Confirmation: o.cnf,
	}
	if o.subject != nil {
		act, err := o.subject.act(o.caller)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		claims.Act = act
		o.subject.name(&claims)
		claims.Expiry = earliest(claims.Expiry, o.subject.notAfter(), o.actor)
	}
	// A NumericDate counts whole seconds here: rounding up would outlive the proof.
	claims.Expiry = claims.Expiry.Truncate(time.Second)
	if !claims.Expiry.After(now) {
		return secret.Value{}, time.Time{}, invalid("the proof of identity is at its end")
	}
	signed, err := token.Mint(ctx, s.Signer, claims)
	return signed, claims.Expiry, err
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Service) maxLife() time.Duration {
	if s.MaxLife <= 0 || s.MaxLife > token.MaxLife {
		return token.MaxLife
	}
	return s.MaxLife
}

// unverified is what a token says of itself before anybody has vouched for it.
type unverified struct {
	Issuer   string          `json:"iss"`
	Audience json.RawMessage `json:"aud"`
}

// peek reads it.
func peek(raw string) (unverified, error) { return payload[unverified](raw) }

// payload reads what a token says, without a look at its signature.
func payload[T any](raw string) (told T, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return told, notOurs(nil)
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return told, notOurs(err)
	}
	if err := json.Unmarshal(data, &told); err != nil {
		return told, notOurs(err)
	}
	return told, nil
}

func notOurs(cause error) error {
	return fault.New(fault.Unauthenticated, "", "not a token of ours").Because(cause)
}

// one returns the one audience that the token names.
func (u unverified) one() (string, bool) {
	var one string
	if json.Unmarshal(u.Audience, &one) == nil && one != "" {
		return one, true
	}
	var many []string
	if json.Unmarshal(u.Audience, &many) == nil && len(many) == 1 && many[0] != "" {
		return many[0], true
	}
	return "", false
}
