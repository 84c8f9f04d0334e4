package exchange

import (
	"context"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/secret"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/token"
)

// Service trades tokens.
type Service struct {
	// Point decides and records; required.
	Point *pep.Point
	// Services returns the catalogue in force; required.
	Services func() *service.Catalog
	// Signer signs; required.
	Signer token.Signer
	// Issuer is the `iss` of our tokens; required.
	Issuer string
	// MaxLife is the longest life of a token; 0 means five minutes, and more than that is five minutes.
	MaxLife time.Duration
	// Subjects verifies subject tokens, by the URI of their type; nil refuses all of them.
	Subjects map[string]SubjectVerifier
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Metrics counts; nil counts nothing.
	Metrics *Metrics
}

// The token type URIs of RFC 8693, section 3, that we know.
const (
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// Binding is what a caller wants its token to be bound to.
type Binding uint8

// The bindings. The zero Binding leaves it to the service's setting.
const (
	BindDefault Binding = iota
	BindNone
	BindX5T
)

// Request has the parameters of RFC 8693, section 2.1.
type Request struct {
	SubjectToken       secret.Value
	SubjectTokenType   string
	ActorToken         secret.Value
	ActorTokenType     string
	Resource           []string
	Audience           []string
	Scope              []string
	RequestedTokenType string
	Bind               Binding
}

// Issued is a minted token, and the decision that allowed it.
type Issued struct {
	Token    secret.Value
	Audience string
	Expiry   time.Time
	Scope    []string
	Bind     service.Bind
	Decision string
	Revision string
}

// noTarget is said alike of a service that there is not and of one that the caller may not reach
// (RFC 8693, section 2.2.2): the difference would tell which services there are.
const noTarget = "no token for this target"

// Exchange mints a token for the caller in ctx.
func (s *Service) Exchange(ctx context.Context, r Request) (issued Issued, err error) {
	// 1. What is asked?
	to, err := r.parse()
	if err != nil {
		return Issued{}, err
	}
	// 2. Which service is meant? None is not an answer yet.
	found, known := to.find(s.Services())
	// 3. For whom?
	subject, err := s.subject(ctx, r)
	if err != nil {
		return Issued{}, err
	}
	actorEnd, err := s.actor(ctx, r)
	if err != nil {
		return Issued{}, err
	}
	// 4. May they?
	grants, err := s.check(ctx, to.entity(found), subject)
	if err != nil {
		return Issued{}, err
	}
	defer func() { err = grants.done(err) }()
	if !known {
		return Issued{}, fault.New(fault.InvalidTarget, "", noTarget)
	}
	if err := subject.permits(grants[0].Principal, s.Issuer); err != nil {
		return Issued{}, err
	}
	// 5. How much?
	scope, err := narrow(r.Scope, found.Token.Scope, subject)
	if err != nil {
		return Issued{}, err
	}
	// 6. Bound to what?
	caller := grants[0].Principal
	bind, cnf, err := choose(r.Bind, found.Token.Bind, caller.Workload)
	if err != nil {
		return Issued{}, err
	}
	// 7. Mint.
	signed, expiry, err := s.mint(ctx, order{caller, subject, actorEnd, found.Token.Audience, scope, cnf})
	if err != nil {
		return Issued{}, err
	}
	s.Metrics.minted(bind, forCaller)
	return Issued{
		Token: signed, Audience: found.Token.Audience, Expiry: expiry, Scope: scope, Bind: bind,
		Decision: grants[0].ID, Revision: grants[0].Decision.Revision,
	}, nil
}

// grants are the decisions that one exchange rests on, the caller's own first.
type grants []*pep.Grant

// done records the outcome beside each of the decisions, and gives the error the first one's id.
func (g grants) done(err error) error {
	if err != nil {
		err = fault.WithDecision(err, g[0].ID)
	}
	for _, grant := range g {
		grant.Done(pep.Outcome{Err: err})
	}
	return err
}

// check asks for everything that the exchange needs. A refusal records the outcome of what was allowed
// before it.
func (s *Service) check(ctx context.Context, target policy.Entity, subject *Subject) (grants, error) {
	own, err := s.Point.Check(subject.asking(ctx), policy.ActionExchange, target)
	if err != nil {
		return nil, untold(err)
	}
	all := grants{own}
	if subject == nil || subject.is(own.Principal) {
		return all, nil
	}
	for _, audience := range subject.Audience {
		meant, err := s.Point.Check(ctx, policy.ActionIntrospect, policy.Entity{Type: "audience", ID: audience})
		if err != nil {
			return nil, all.refused(notMeant(err))
		}
		all = append(all, meant)
	}
	if subject.User != nil { // who was asked about beside the caller already
		return all, nil
	}
	theirs, err := s.Point.Check(subject.context(ctx, own.Principal), policy.ActionExchange, target)
	if err != nil {
		return nil, all.refused(untold(err))
	}
	return append(all, theirs), nil
}

// refused records that nothing came of g. err carries the id of the decision that refused.
func (g grants) refused(err error) error {
	for _, grant := range g {
		grant.Done(pep.Outcome{Err: err})
	}
	return err
}

// untold says of a denial what is said of a service that there is not.
func untold(err error) error {
	if fault.KindOf(err) != fault.Denied {
		return err
	}
	return fault.WithDecision(fault.New(fault.InvalidTarget, "", noTarget).Because(err), fault.From(err).Decision)
}

// notMeant says that the caller is nobody for whom the subject token was meant: it is unacceptable
// based on policy (RFC 8693, section 2.2.2).
func notMeant(err error) error {
	if fault.KindOf(err) != fault.Denied {
		return err
	}
	refused := fault.New(fault.InvalidRequest, "SUBJECT_TOKEN_NOT_MEANT", "the subject token was not meant for this caller")
	return fault.WithDecision(refused.Because(err), fault.From(err).Decision)
}
