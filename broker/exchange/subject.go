package exchange

import (
	"context"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/token"
)

// Subject is whom a subject token names, and what it says of it.
type Subject struct {
	// Workload is the subject. Its NotAfter is the end of the token.
	Workload identity.Workload
	// Audience is for whom the token was meant; empty when that was us.
	Audience []string
	// Limited: a new token may not carry more than Scope.
	Limited bool
	Scope   []string
	// Act is the chain of actors so far, the latest first.
	Act *token.Actor
}

// SubjectVerifier verifies a subject token of one type. Its failures are fault.Unauthenticated when the
// token is at fault, and fault.Unavailable when its keys cannot be had.
type SubjectVerifier func(ctx context.Context, raw string) (Subject, error)

// OwnTokens verifies access tokens that we minted, for whichever service. The caller need not be the one
// to whom a token is bound: it was given the token by that one.
func OwnTokens(issuer string, keys token.KeySource, now func() time.Time) SubjectVerifier {
	return func(ctx context.Context, raw string) (Subject, error) {
		audience, err := peek(raw)
		if err != nil {
			return Subject{}, err
		}
		// The audience is compared with itself here. That the caller is of it is policy's to say: see the
		// package comment.
		v := token.Verifier{Issuer: issuer, Audience: audience, Keys: keys, Now: now}
		claims, err := v.VerifyWithoutPossession(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		id, err := spiffeid.FromString(claims.Subject)
		if err != nil {
			return Subject{}, fault.New(fault.Unsupported, "SUBJECT_UNSUPPORTED", "only workloads are subjects in this version").Because(err)
		}
		return Subject{
			Workload: identity.Workload{ID: id, Proof: identity.ByToken, NotAfter: claims.Expiry},
			Audience: claims.Audience, Limited: true, Scope: claims.Scope, Act: claims.Act,
		}, nil
	}
}

// JWTSVIDs verifies JWT-SVIDs whose only audience is us.
func JWTSVIDs(v *authn.Verifier) SubjectVerifier {
	return func(ctx context.Context, raw string) (Subject, error) {
		p, err := v.FromJWTSVID(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		return Subject{Workload: p.Workload}, nil
	}
}

// subject returns whom the subject token names, and nil when the caller is the subject.
func (s *Service) subject(ctx context.Context, r Request) (*Subject, error) {
	if r.SubjectToken.IsZero() {
		return nil, nil
	}
	verify, ok := s.Subjects[r.SubjectTokenType]
	if !ok {
		return nil, fault.New(fault.Unsupported, "TOKEN_TYPE_UNSUPPORTED", "subject tokens of this type are not in this version")
	}
	subject, err := verify(ctx, string(r.SubjectToken.Reveal()))
	if err == nil {
		return &subject, nil
	}
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.InvalidRequest, fault.InvalidGrant, fault.Denied, fault.NotFound: // RFC 8693, section 2.2.2
		return nil, fault.New(fault.InvalidRequest, "SUBJECT_TOKEN_INVALID", "the subject token is not valid").Because(err)
	}
	return nil, err
}

// context returns ctx with the subject as the one who asks, through the caller.
func (sub *Subject) context(ctx context.Context, caller identity.Principal) context.Context {
	return identity.NewContext(ctx, identity.Principal{Workload: sub.Workload, Actors: append([]spiffeid.ID{caller.Workload.ID}, caller.Actors...)})
}

// act returns the chain of actors of a token that caller has minted for sub.
func (sub *Subject) act(caller identity.Principal) (*token.Actor, error) {
	if sub.Workload.ID == caller.Workload.ID {
		return sub.Act, nil
	}
	length := 1
	for a := sub.Act; a != nil; a = a.Act {
		length++
	}
	if length > token.MaxActors {
		return nil, invalid("the token came through more than %d actors", token.MaxActors)
	}
	return &token.Actor{Subject: caller.Subject(), Act: sub.Act}, nil
}

// earliest returns the first of the moments that is one.
func earliest(first time.Time, others ...time.Time) time.Time {
	return slices.MinFunc(append(slices.DeleteFunc(others, time.Time.IsZero), first), time.Time.Compare)
}
