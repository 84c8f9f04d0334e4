package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
)

// RefusedError is a refusal in the provider's own words (RFC 6749, section 5.2). It is the cause of the
// fault.Error that a call returns, for logs and for whoever operates the gateway, not for the browser.
type RefusedError struct {
	// Status is that of HTTP.
	Status int
	// Code and Description are `error` and `error_description`, both cut at 256 bytes.
	Code, Description string
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the provider answered %d %q %q", e.Status, e.Code, e.Description)
}

// Outcome is what a failed refresh means for the session.
type Outcome int

// The outcomes. Misconfigured is the zero one: what nobody classified is our own fault, and no reason to
// take a session from its user.
const (
	// Misconfigured: the provider does not know us, or not like this. The session lives as long as its
	// access token; no retry mends it.
	Misconfigured Outcome = iota
	// Ended: the provider ended it. So does the session, now.
	Ended
	// Transient: nothing happened. Try again later, with the same refresh token.
	Transient
	// Unknown: the provider may have rotated the refresh token, and the answer was lost. Serve until the
	// access token ends, then try once; what comes of that is final.
	Unknown
)

// String returns the outcome's name.
func (o Outcome) String() string {
	return [...]string{"misconfigured", "ended", "transient", "unknown"}[o]
}

// ReasonAway is that of a call that the provider did not answer, or said that it cannot now.
const ReasonAway = "PROVIDER_UNAVAILABLE"

// Away reports whether err says that the provider does not answer: there is nothing that the user, or we, could do about
// it but wait.
func Away(err error) bool {
	switch fault.From(err).Reason {
	case ReasonAway, ReasonUnknown, reasonKeys:
		return err != nil
	}
	return false
}

// Misset reports whether err says that the provider and this gateway are not set up for each other: no other try of the
// user's helps.
func Misset(err error) bool {
	switch fault.From(err).Reason {
	case ReasonClient, ReasonProof, reasonRefused, ReasonAnswer:
		return err != nil
	}
	return false
}

// The reasons by which an error tells its outcome.
const (
	ReasonEnded   = "PROVIDER_SESSION_ENDED"
	ReasonUnknown = "PROVIDER_ANSWER_LOST"
	ReasonClient  = "PROVIDER_REFUSES_CLIENT"
	reasonRefused = "PROVIDER_REFUSED"
)

// OutcomeOf returns what an error of [Provider.Refresh] means for the session.
func OutcomeOf(err error) Outcome {
	e := fault.From(err)
	switch {
	case e.Kind == fault.InvalidGrant:
		return Ended
	case e.Reason == ReasonUnknown:
		return Unknown
	case e.Kind == fault.Unavailable, e.Kind == fault.Overloaded, e.Kind == fault.Timeout:
		return Transient
	}
	return Misconfigured
}

// failed translates what do returned.
func failed(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if _, ok := errors.AsType[*lostError](err); ok {
		return fault.New(fault.Unavailable, ReasonUnknown, "the login provider's answer was lost").Because(err)
	}
	return unavailable(err)
}

// refusal returns the words of an answer that is not a success.
func (a answer) refusal() *RefusedError {
	var body struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(a.body, &body) // a proxy's page has no words for us
	return &RefusedError{a.status, short(body.Code), short(body.Description)}
}

func short(s string) string { return s[:min(len(s), 256)] }

// success is what token and PAR endpoints answer with (RFC 6749, section 5.1; RFC 9126, section 2.2).
func (a answer) success() bool { return a.status == http.StatusOK || a.status == http.StatusCreated }

// fault returns a refusal as a failure of ours. What a client or a proxy in front of the provider says is told
// apart from what the provider says of the grant: only that ends a session.
func (a answer) fault() error {
	r := a.refusal()
	switch {
	case a.status == http.StatusTooManyRequests:
		return a.later(fault.New(fault.Overloaded, "", "the login provider has too much to do").Because(r))
	case a.status == http.StatusBadGateway, a.status == http.StatusGatewayTimeout:
		// Said by a proxy, which does not know what became of the request either.
		return fault.New(fault.Unavailable, ReasonUnknown, "the login provider's answer was lost").Because(r)
	case a.status >= 500, r.Code == "temporarily_unavailable", r.Code == "server_error":
		return a.later(unavailable(r))
	case r.Code == "invalid_grant":
		return fault.New(fault.InvalidGrant, ReasonEnded, "the login provider ended the session").Because(r)
	case r.Code == "invalid_client", r.Code == "unauthorized_client": // Keycloak has the second for a wrong secret
		return fault.New(fault.UnauthorizedClient, ReasonClient, "the login provider does not accept this gateway as its client").Because(r)
	}
	return fault.New(fault.Internal, reasonRefused, "the login provider refused").Because(r)
}

const maxRetryAfter = 5 * time.Minute

// later takes over when the provider wants to be asked again (RFC 9110, section 10.2.3), in seconds; a date is
// as good as nothing.
func (a answer) later(e *fault.Error) *fault.Error {
	if n, err := strconv.ParseUint(a.header.Get("Retry-After"), 10, 31); err == nil {
		e.RetryAfter = min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	return e
}
