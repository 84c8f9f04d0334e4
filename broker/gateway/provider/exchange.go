package provider

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

const (
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccess    = "urn:ietf:params:oauth:token-type:access_token"
	typeJWT       = "urn:ietf:params:oauth:token-type:jwt"
)

// The reasons for which an exchange fails.
const (
	// ReasonExchange: refused for good. The message names the audience and what to look at.
	ReasonExchange = "TOKEN_EXCHANGE_FAILED"
	// ReasonExchangeOrEnded: refused in words that also stand for a session that ended at the provider. One
	// refresh decides which it is.
	ReasonExchangeOrEnded = "TOKEN_EXCHANGE_OR_SESSION_ENDED"
	// ReasonExchangeUnsupported: the provider exchanges no tokens at all.
	ReasonExchangeUnsupported = "TOKEN_EXCHANGE_UNSUPPORTED"
)

// Exchanged is an access token for one audience.
type Exchanged struct {
	// Token is the access token; it is for that audience alone, and not for the browser.
	Token secret.Value
	// Scope is what it carries, where the provider says so.
	Scope []string
	// Expiry is its end.
	Expiry time.Time
	// Actor is who acts for the user, from the claim `act` of a JWT (RFC 8693, section 4.1), the latest
	// first; nil when nobody does.
	Actor *Actor
}

// Actor is one in a chain of who acts for whom.
type Actor struct {
	Subject string `json:"sub"`
	Act     *Actor `json:"act,omitempty"`
}

// Exchange trades the user's access token for one whose audience is the given one (RFC 8693). A refusal is
// remembered for 10 s, for this token, audience and scope: who keeps asking gets the same answer from here.
// An error never ends a session; where the provider's words may mean that it has ended, the reason is
// [ReasonExchangeOrEnded]. No refresh token is ever asked for.
func (h Holder) Exchange(ctx context.Context, subject secret.Value, audience string, scope ...string) (Exchanged, error) {
	p := h.provider
	r, proof, err := h.ready()
	if err != nil {
		return Exchanged{}, err
	}
	key := negativeKey(subject, audience, scope)
	if err := p.refused.get(key); err != nil {
		return Exchanged{}, err
	}
	form := url.Values{
		"grant_type": {grantExchange}, "subject_token": {string(subject.Reveal())}, "subject_token_type": {typeAccess},
		"requested_token_type": {typeAccess}, "audience": {audience},
	}
	if len(scope) > 0 {
		form.Set("scope", strings.Join(scope, " "))
	}
	answer, tokens, err := p.grant(ctx, r, proof, form)
	if err == nil {
		var got Exchanged
		if got, err = answer.exchanged(tokens, audience); err == nil {
			return got, nil
		}
	}
	err = exchangeFault(err, audience)
	if OutcomeOf(err) == Misconfigured {
		p.refused.put(key, err)
	}
	return Exchanged{}, err
}

// exchanged accepts what was asked for, and nothing that is merely like it (RFC 8693, section 2.2.1).
func (a *tokenAnswer) exchanged(tokens Tokens, audience string) (Exchanged, error) {
	if a.Issued != typeAccess && a.Issued != typeJWT {
		return Exchanged{}, errors.New("the issued_token_type is not an access token's")
	}
	got := Exchanged{Token: tokens.Access, Scope: tokens.Scope, Expiry: tokens.Expiry}
	c, isJWT, err := peek(a.Access)
	if err != nil {
		return Exchanged{}, err
	}
	if !isJWT {
		return got, nil // opaque to us: only whom it is for can look into it
	}
	if !slices.Contains(c.Audience, audience) { // RFC 9068, section 4; RFC 9700, section 2.3
		return Exchanged{}, errors.New("the new token is for another audience")
	}
	if end := time.Unix(int64(c.Expiry), 0); c.Expiry > 0 && end.Before(got.Expiry) {
		got.Expiry = end
	}
	got.Actor = c.Act
	return got, nil
}

// peeked is what we look at in a token that is not ours to verify: it came from the provider over TLS, and whom
// it is for verifies it.
type peeked struct {
	Audience stringOrList `json:"aud"`
	Expiry   float64      `json:"exp"`
	Act      *Actor       `json:"act"`
}

// peek reports whether raw is a JWT, and what it says then. One that says it in a way that cannot be read is not
// opaque, but broken.
func peek(raw string) (c peeked, isJWT bool, err error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || algorithm(raw) == "" {
		return c, false, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	return c, true, err
}

type stringOrList []string

// UnmarshalJSON implements json.Unmarshaler (RFC 7519, section 4.1.3).
func (s *stringOrList) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*s = []string{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// exchangeFault says whose fault a refusal is. invalid_client is never taken for the end of anything:
// Keycloak says it of an audience that it does not know.
func exchangeFault(err error, audience string) error {
	if outcome := OutcomeOf(err); outcome == Transient || outcome == Unknown {
		return err // an exchange may be asked for again, whatever became of it
	}
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok {
		return exchangeFailed(audience, "the provider's answer is not what was asked for").Because(err)
	}
	switch refused.Code {
	case "invalid_request", "invalid_grant", "invalid_token":
		e := exchangeFailed(audience, "the login provider refuses this audience, or the session has ended there")
		e.Reason = ReasonExchangeOrEnded
		return e.Because(err)
	case "unsupported_grant_type":
		e := exchangeFailed(audience, "the login provider does not exchange tokens")
		e.Reason = ReasonExchangeUnsupported
		return e.Because(err)
	case "invalid_client", "unauthorized_client":
		return exchangeFailed(audience, "the login provider does not know this audience, or does not let this gateway exchange tokens").Because(err)
	case "invalid_scope":
		return exchangeFailed(audience, "the login provider does not grant this scope").Because(err)
	case "access_denied", "invalid_target":
		return exchangeFailed(audience, "the login provider does not let this gateway exchange tokens for this audience").Because(err)
	}
	return exchangeFailed(audience, "the login provider refused").Because(err)
}

func exchangeFailed(audience, hint string) *fault.Error {
	return fault.Newf(fault.InvalidTarget, ReasonExchange, "no token for audience %q: %s", audience, hint)
}
