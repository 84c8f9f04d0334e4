package exchange

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/authn"
	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/token"
)

// Subject is whom a subject token names, and what it says of it.
type Subject struct {
	// Workload is the subject; zero when it is a user. Its NotAfter is the end of the token.
	Workload identity.Workload
	// User is the subject; nil when it is a workload.
	User *identity.User
	// Audience is for whom the token was meant; empty when that was us.
	Audience []string
	// Limited: a new token may not carry more than Scope.
	Limited bool
	Scope   []string
	// Act is the chain of actors so far, the latest first.
	Act *token.Actor
	// MayAct is who alone may act for the subject; nil when the token does not say (RFC 8693, section 4.4).
	MayAct *MayAct
}

// MayAct is the claim may_act.
type MayAct struct{ Subject, Issuer string }

// SubjectVerifier verifies a subject token of one type. Its failures are fault.Unauthenticated when the
// token is at fault, and fault.Unavailable when its keys cannot be had.
type SubjectVerifier func(ctx context.Context, raw string) (Subject, error)

// OwnTokens verifies access tokens that we minted, for whichever service. The caller need not be the one
// to whom a token is bound: it was given the token by that one.
func OwnTokens(issuer string, keys token.KeySource, now func() time.Time) SubjectVerifier {
	return func(ctx context.Context, raw string) (Subject, error) {
		told, err := peek(raw)
		if err != nil {
			return Subject{}, err
		}
		audience, ok := told.one()
		if !ok {
			return Subject{}, notOurs(nil)
		}
		// The audience is compared with itself here. That the caller is of it is policy's to say: see the
		// package comment.
		v := token.Verifier{Issuer: issuer, Audience: audience, Keys: keys, Now: now}
		claims, err := v.VerifyWithoutPossession(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		return fromClaims(claims)
	}
}

func fromClaims(c token.Claims) (Subject, error) {
	s := Subject{Audience: c.Audience, Limited: true, Scope: c.Scope, Act: c.Act}
	if c.User != nil {
		s.User = &identity.User{
			Issuer: c.User.Issuer, Subject: c.User.Subject, Groups: c.Groups, Scopes: c.Scope, Proof: identity.ByToken, NotAfter: c.Expiry,
		}
		return s, nil
	}
	id, err := spiffeid.FromString(c.Subject)
	if err != nil {
		return Subject{}, fault.New(fault.Unauthenticated, "", "the subject is neither a workload nor a user").Because(err)
	}
	s.Workload = identity.Workload{ID: id, Proof: identity.ByToken, NotAfter: c.Expiry}
	return s, nil
}

// JWTSVIDs verifies JWT-SVIDs whose only audience is us.
func JWTSVIDs(v *authn.Verifier) SubjectVerifier {
	return func(ctx context.Context, raw string) (Subject, error) {
		p, err := v.FromJWTSVID(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		claims, err := payload[map[string]any](raw) // which is verified now
		if err != nil {
			return Subject{}, err
		}
		s := Subject{Workload: p.Workload}
		s.MayAct, err = mayAct(claims)
		return s, err
	}
}

// SubjectTokens returns what verifies each type of subject token: access tokens of ours by own, those of OpenID
// issuers by users, JWT-SVIDs by svids. All of them are JWTs; only the first two are access tokens.
func SubjectTokens(issuer string, own, svids SubjectVerifier, users *authn.Users) map[string]SubjectVerifier {
	byIssuer := func(others SubjectVerifier) SubjectVerifier {
		return func(ctx context.Context, raw string) (Subject, error) {
			told, err := peek(raw)
			switch {
			case err != nil:
				return Subject{}, err
			case told.Issuer == issuer:
				return own(ctx, raw)
			case users.Knows(told.Issuer):
				return fromUser(users.FromAccessToken(ctx, told.Issuer, raw))
			}
			return others(ctx, raw)
		}
	}
	return map[string]SubjectVerifier{TypeAccessToken: byIssuer(nobodys), TypeJWT: byIssuer(svids)}
}

// nobodys refuses what comes from elsewhere.
func nobodys(context.Context, string) (Subject, error) { return Subject{}, notOurs(nil) }

func fromUser(user identity.User, err error) (Subject, error) {
	if err != nil {
		return Subject{}, err
	}
	s := Subject{User: &user, Limited: true, Scope: user.Scopes}
	s.MayAct, err = mayAct(user.Claims)
	return s, err
}

// mayAct reads the claim. One that is there and cannot be read lets nobody act. It may say more of the actor
// than its name, which is for information only (RFC 8693, section 4.4).
func mayAct(claims map[string]any) (*MayAct, error) {
	claim, there := claims["may_act"]
	if !there {
		return nil, nil //nolint:nilnil // it does not say
	}
	members, _ := claim.(map[string]any)
	sub, _ := members["sub"].(string)
	iss, named := members["iss"].(string)
	if _, there = members["iss"]; sub == "" || there && (!named || iss == "") {
		return nil, fault.New(fault.Unauthenticated, "", "its may_act names nobody")
	}
	return &MayAct{Subject: sub, Issuer: iss}, nil
}

// subject returns whom the subject token names, and nil when the caller is the subject.
func (s *Service) subject(ctx context.Context, r Request) (*Subject, error) {
	if r.SubjectToken.IsZero() {
		return nil, nil //nolint:nilnil // the caller is the subject
	}
	subject, err := s.verify(ctx, "subject", r.SubjectToken, r.SubjectTokenType)
	if err != nil {
		return nil, err
	}
	return &subject, nil
}

// verify verifies a token of a request. What is wrong with it is an invalid request (RFC 8693, section 2.2.2).
func (s *Service) verify(ctx context.Context, role string, raw secret.Value, kind string) (Subject, error) {
	verify, ok := s.Subjects[kind]
	if !ok {
		return Subject{}, fault.Newf(fault.Unsupported, "TOKEN_TYPE_UNSUPPORTED", "%s tokens of this type are not in this version", role)
	}
	subject, err := verify(ctx, string(raw.Reveal()))
	if err == nil {
		return subject, nil
	}
	switch fault.KindOf(err) {
	case fault.Unauthenticated, fault.InvalidRequest, fault.InvalidGrant, fault.Denied, fault.NotFound:
		return Subject{}, fault.Newf(fault.InvalidRequest, strings.ToUpper(role)+"_TOKEN_INVALID", "the %s token is not valid", role).Because(err)
	}
	return Subject{}, err
}

// actor returns when the proof ends that the actor token is, and the zero time when there is none. The
// actor is the caller, which has proven itself already: a token that names another one would let whoever
// got hold of it act in that one's name.
func (s *Service) actor(ctx context.Context, r Request) (end time.Time, err error) {
	if r.ActorToken.IsZero() {
		return time.Time{}, nil
	}
	actor, err := s.verify(ctx, "actor", r.ActorToken, r.ActorTokenType)
	if err != nil {
		return time.Time{}, err
	}
	caller, _ := identity.FromContext(ctx)
	if actor.User != nil || actor.Workload.ID != caller.Workload.ID {
		return time.Time{}, fault.New(fault.InvalidRequest, "ACTOR_NOT_CALLER", "the actor token names another than the caller")
	}
	return actor.Workload.NotAfter, nil
}

// permits refuses a caller that the subject token's may_act does not name.
func (sub *Subject) permits(caller identity.Principal, issuer string) error {
	if sub == nil || sub.MayAct == nil {
		return nil
	}
	domain := caller.Workload.ID.TrustDomain().IDString()
	if m := sub.MayAct; m.Subject != caller.Subject() || m.Issuer != "" && m.Issuer != issuer && m.Issuer != domain {
		return fault.New(fault.InvalidRequest, "MAY_ACT", "the subject token lets another one act for its subject")
	}
	return nil
}

// is reports whether the subject is the caller itself.
func (sub *Subject) is(caller identity.Principal) bool {
	return sub.User == nil && sub.Workload.ID == caller.Workload.ID
}

// asking returns ctx with the caller acting for the user, where the subject is one: what both need is
// allowed in one decision.
func (sub *Subject) asking(ctx context.Context) context.Context {
	caller, ok := identity.FromContext(ctx)
	if sub == nil || sub.User == nil || !ok {
		return ctx
	}
	caller.User, caller.Actors = sub.User, append(sub.actors(), caller.Actors...)
	return identity.NewContext(ctx, caller)
}

// actors are the workloads of the chain so far, the latest first.
func (sub *Subject) actors() (ids []spiffeid.ID) {
	for a := sub.Act; a != nil; a = a.Act {
		if id, err := spiffeid.FromString(a.Subject); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// context returns ctx with the subject, a workload, as the one who asks, through the caller.
func (sub *Subject) context(ctx context.Context, caller identity.Principal) context.Context {
	return identity.NewContext(ctx, identity.Principal{Workload: sub.Workload, Actors: append([]spiffeid.ID{caller.Workload.ID}, caller.Actors...)})
}

// act returns the chain of actors of a token that caller has minted for sub.
func (sub *Subject) act(caller identity.Principal) (*token.Actor, error) {
	if sub.is(caller) {
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

// notAfter is when the proof of the subject ends.
func (sub *Subject) notAfter() time.Time {
	if sub.User != nil {
		return sub.User.NotAfter
	}
	return sub.Workload.NotAfter
}

// name writes the subject into claims.
func (sub *Subject) name(c *token.Claims) {
	if sub.User == nil {
		c.Subject = sub.Workload.ID.String()
		return
	}
	c.User, c.Groups = &token.User{Issuer: sub.User.Issuer, Subject: sub.User.Subject}, sub.User.Groups
	c.Subject = c.User.Name()
}

// earliest returns the first of the moments that is one.
func earliest(first time.Time, others ...time.Time) time.Time {
	return slices.MinFunc(append(slices.DeleteFunc(others, time.Time.IsZero), first), time.Time.Compare)
}
