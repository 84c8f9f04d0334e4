// Package fault has the words in which Intercom refuses: a closed set of kinds that every package
// returns and that only the doors translate, once, to gRPC status, HTTP problem (RFC 9457) or OAuth
// error (RFC 6749, section 5.2).
//
// A caller learns the kind, a reason code, the message and the decision id. The cause stays in the log:
// [Error.Error] prints it, the doors never do.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Kind is a kind of failure. A Kind is itself an error, so that errors.Is(err, fault.Denied) reads as
// it sounds.
type Kind uint8

// The closed set. Internal is the zero Kind: what nobody classified is our own fault, and the caller is
// told nothing about it.
const (
	Internal           Kind = iota
	InvalidRequest          // malformed, or a token in it is bad or expired
	InvalidScope            // wider than what is held
	InvalidTarget           // no such audience, or not for this caller: the same words for both
	InvalidGrant            // a grant that ended
	Unauthenticated         // no proof of identity, or a bad one
	UnauthorizedClient      // known, but not for this grant type
	Unsupported             // a grant type, token type or method that we do not have
	Denied                  // policy said no
	NotFound                // nothing of that name, told only to those who may know
	TooLarge                // over a stated limit
	Overloaded              // over the caller's share; try again
	Unavailable             // a part that we need does not answer; try again
	Timeout                 // the deadline passed
	kinds                   // how many there are
)

var kindNames = [kinds]string{
	"internal", "invalid_request", "invalid_scope", "invalid_target", "invalid_grant", "unauthenticated",
	"unauthorized_client", "unsupported", "denied", "not_found", "too_large", "overloaded", "unavailable", "timeout",
}

// String returns the kind's name as it stands in logs, metrics and audit entries.
func (k Kind) String() string {
	if k >= kinds {
		return kindNames[Internal]
	}
	return kindNames[k]
}

// Error implements error.
func (k Kind) Error() string { return k.String() }

// Error is a failure of one Kind.
type Error struct {
	Kind Kind
	// Reason is a stable code for machines, such as VAULT_SEALED; empty means the kind's name says enough.
	Reason string
	// Message goes to the caller. It holds no secret, no name that the caller did not send, and no cause.
	Message string
	// Decision is the id under which the decision stands in the audit log, if there was one.
	Decision string
	// RetryAfter is when it may be worth trying again; zero means the door's default for the kind.
	RetryAfter time.Duration

	cause error
}

// New returns an Error of kind k. The message goes to the caller.
func New(k Kind, reason, message string) *Error {
	return &Error{Kind: k, Reason: reason, Message: message}
}

// Newf is New with a formatted message.
func Newf(k Kind, reason, format string, args ...any) *Error {
	return New(k, reason, fmt.Sprintf(format, args...))
}

// Because returns a copy of e with a cause, which is logged and never sent.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Error implements error, for logs: it includes the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is(err, fault.Denied) true for every Error of that kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// KindOf returns the kind of the outermost Error in err's chain, and Internal when there is none.
func KindOf(err error) Kind { return From(err).Kind }

// From returns the outermost Error in err's chain. The end of a context becomes a Timeout, and what else
// has no Error in it an Internal one with err as its cause. From(nil) is an Internal error too: a nil that reaches a door is a mistake of ours.
func From(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if k, ok := errors.AsType[Kind](err); ok {
		return New(k, "", k.String()).Because(err)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		// Nobody's mistake. A caller that gave one broker half of its time asks the other one, if it hears of
		// this before its own clock says so.
		return New(Timeout, "", "the caller's time ran out").Because(err)
	}
	return New(Internal, "", "internal error").Because(err)
}

// WithDecision returns err as an Error that carries the decision id.
func WithDecision(err error, id string) *Error {
	e := *From(err)
	e.Decision = id
	return &e
}

// Code returns the reason, or the kind's name where there is no reason.
func (e *Error) Code() string {
	if e.Reason != "" {
		return e.Reason
	}
	return e.Kind.String()
}

// retryAfter is how long a caller is asked to wait, and zero where trying again is of no use.
func (e *Error) retryAfter() time.Duration {
	switch {
	case e.RetryAfter > 0:
		return e.RetryAfter
	case e.Kind == Overloaded, e.Kind == Unavailable:
		return time.Second
	default:
		return 0
	}
}
