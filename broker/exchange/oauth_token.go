package exchange

import (
	"context"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
)

// The grant types that there are (RFC 8693, section 2.1; RFC 6749, section 4.4).
const (
	GrantExchange          = "urn:ietf:params:oauth:grant-type:token-exchange"
	GrantClientCredentials = "client_credentials"
)

// grantNames are what policy calls the grants: a rule denies one as `exchange` on `grant/NAME`.
func grantNames() map[string]string {
	return map[string]string{GrantExchange: "token-exchange", GrantClientCredentials: "client-credentials"}
}

// tokenResponse is RFC 8693, section 2.2.1, and with it RFC 6749, section 5.1.
type tokenResponse struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	Scope           string `json:"scope,omitempty"`
}

// token is the token endpoint. What it mints is bound as the service's file says, to the certificate that
// the client showed: one without a certificate gets no token for a service that wants bound ones.
func (o *OAuth) token(r *http.Request, f form) (reply, error) {
	req, err := f.grant()
	if err != nil {
		return reply{}, err
	}
	if err := o.mayUse(r.Context(), f.one("grant_type")); err != nil {
		return reply{}, err
	}
	issued, err := o.Service.Exchange(r.Context(), req)
	if err != nil {
		return reply{}, unacceptable(err)
	}
	answered := tokenResponse{
		AccessToken: string(issued.Token.Reveal()), TokenType: "Bearer", ExpiresIn: until(issued.Expiry, o.Service.now()),
		Scope: strings.Join(issued.Scope, " "),
	}
	if f.one("grant_type") == GrantExchange {
		answered.IssuedTokenType = TypeAccessToken
	}
	return answer(answered, issued.Decision)
}

// grant reads the request of the grant that the form names.
func (f form) grant() (Request, error) {
	req := Request{Resource: f.all("resource"), Audience: f.all("audience"), Scope: strings.Fields(f.one("scope"))}
	switch f.one("grant_type") {
	case "":
		return Request{}, invalid("the grant_type is missing")
	case GrantClientCredentials:
		// The client is the subject. Tokens are no parameters of this grant, and what is none is passed over
		// (RFC 6749, section 3.2).
		return req, nil
	case GrantExchange:
	default:
		return Request{}, fault.New(fault.Unsupported, "GRANT_TYPE_UNSUPPORTED", "there is no such grant_type here")
	}
	req.SubjectToken, req.SubjectTokenType = f.secret("subject_token"), f.one("subject_token_type")
	req.ActorToken, req.ActorTokenType = f.secret("actor_token"), f.one("actor_token_type")
	req.RequestedTokenType = f.one("requested_token_type")
	if req.SubjectToken.IsZero() || req.SubjectTokenType == "" {
		// On the gRPC door the peer itself is meant then. Here that has a grant of its own.
		return Request{}, invalid("subject_token and subject_token_type are required")
	}
	return req, nil
}

// mayUse refuses a grant that a rule denies to the client. Every client may use both unless one does, so
// this is no act: it goes through the chokepoint, and into the log, only where the answer is no.
func (o *OAuth) mayUse(ctx context.Context, grant string) error {
	point := o.Service.Point
	who, _ := identity.FromContext(ctx)
	asked := policy.Entity{Type: "grant", ID: grantNames()[grant]}
	if d, err := point.Decider.Decide(ctx, policy.Request{Principal: who, Action: policy.ActionExchange, Resource: asked, Time: o.Service.now()}); err != nil {
		return fault.New(fault.Unavailable, "POLICY_FAILED", "the decision could not be made").Because(err)
	} else if !forbidden(d) {
		return nil
	}
	granted, err := point.Check(ctx, policy.ActionExchange, asked)
	if err == nil { // policy changed between the two questions
		granted.Done(pep.Outcome{})
		return nil
	}
	if fault.KindOf(err) != fault.Denied {
		return err
	}
	refused := fault.New(fault.UnauthorizedClient, "", "this client may not use this grant_type").Because(err)
	return fault.WithDecision(refused, fault.From(err).Decision)
}

// forbidden tells a no that a rule says from the one that is said where no rule matches.
func forbidden(d policy.Decision) bool {
	return d.Err != nil || !d.Allow && d.Reason != policy.ReasonUnmatched
}

// unacceptable puts a refusal into this door's words: unsupported_grant_type is only said of grants, and a
// type of token that we do not take is an invalid_request (RFC 8693, section 2.2.2).
func unacceptable(err error) error {
	e := fault.From(err)
	if e.Kind != fault.Unsupported {
		return err
	}
	return fault.WithDecision(fault.New(fault.InvalidRequest, e.Reason, e.Message).Because(err), e.Decision)
}
