package exchange

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/pep"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/token"
)

// revoke is the revocation endpoint (RFC 7009). Who may revoke a token: the client to which it was
// issued, the workload that is its subject, and whom policy allows `admin` on `admin/revoke/AUDIENCE`. A
// deny rule on that stops all three.
//
// There is nothing to revoke about a token that is not alive: that is answered with 200 (section 2.2), and
// stands in the audit log as what it was.
func (o *OAuth) revoke(r *http.Request, f form) (reply, error) {
	raw, err := f.token()
	if err != nil {
		return reply{}, err
	}
	claims, err := o.alive(r.Context(), raw)
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return reply{}, err
	}
	grant, err := o.revoker(claims).Check(r.Context(), policy.ActionAdmin, revocation(claims))
	if err != nil {
		return reply{}, notTheirs(err)
	}
	if claims.ID != "" {
		err = o.Revoked.Add(r.Context(), claims.ID, claims.Expiry)
	}
	grant.Done(pep.Outcome{Err: err})
	if err != nil {
		return reply{}, fault.WithDecision(err, grant.ID)
	}
	return reply{decision: grant.ID}, nil
}

// revocation is what policy is asked about; of a token that is not alive it is `admin/revoke` alone.
func revocation(c token.Claims) policy.Entity {
	return policy.Entity{Type: "admin", ID: strings.Join(append([]string{"revoke"}, c.Audience...), "/")}
}

// revoker is the chokepoint, with what a token says of whose it is beside the rules.
func (o *OAuth) revoker(c token.Claims) *pep.Point {
	point := *o.Service.Point
	point.Decider = owners{rules: point.Decider, token: c}
	return &point
}

// owners decides as rules do, but allows what they are silent about to whom the token belongs.
type owners struct {
	rules policy.Decider
	token token.Claims
}

// Decide implements [policy.Decider].
func (d owners) Decide(ctx context.Context, r policy.Request) (policy.Decision, error) {
	decision, err := d.rules.Decide(ctx, r)
	if err != nil || decision.Allow || forbidden(decision) {
		return decision, err
	}
	switch who := r.Principal.Subject(); {
	case d.token.ID == "":
		decision.Allow, decision.Reason = true, "no live token: nothing is revoked"
	case who == d.token.ClientID || who == d.token.Subject:
		decision.Allow, decision.Reason = true, "the token is its own"
	}
	return decision, nil
}

// notTheirs says that the token was issued to another client, of which section 2.1 wants the caller to be
// informed.
func notTheirs(err error) error {
	if fault.KindOf(err) != fault.Denied {
		return err
	}
	refused := fault.New(fault.UnauthorizedClient, "", "this client may not revoke this token").Because(err)
	return fault.WithDecision(refused, fault.From(err).Decision)
}

// Unrevoked verifies as verify does, and refuses tokens that were revoked.
func (r *Revocations) Unrevoked(verify SubjectVerifier) SubjectVerifier {
	return func(ctx context.Context, raw string) (Subject, error) {
		subject, err := verify(ctx, raw)
		if err != nil {
			return Subject{}, err
		}
		revoked, err := r.Has(ctx, tokenID(raw))
		if err != nil {
			return Subject{}, err
		}
		if revoked {
			return Subject{}, fault.New(fault.Unauthenticated, token.ReasonInvalid, "the token was revoked")
		}
		return subject, nil
	}
}

// tokenID returns the jti of a token that is verified already, by the same decoder.
func tokenID(raw string) string {
	var claims struct {
		ID string `json:"jti"`
	}
	if parts := strings.Split(raw, "."); len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			_ = json.Unmarshal(payload, &claims)
		}
	}
	return claims.ID
}
