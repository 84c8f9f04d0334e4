package session

import (
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/secret"
)

// Reason says why a session ended.
type Reason string

// The reasons.
const (
	ReasonExpired  Reason = "expired"            // idle for too long, or at its end
	ReasonRefused  Reason = "refresh_refused"    // the provider refreshes it no longer
	ReasonLogout   Reason = "logout"             // the user logged out here
	ReasonProvider Reason = "backchannel_logout" // the provider says so
	ReasonOperator Reason = "operator"           // somebody ended it by command
)

// The codes by which a browser learns why it is not logged in.
const (
	CodeNone    = "login_required"
	CodeExpired = "session_expired"
	CodeRevoked = "session_revoked"
	// CodeUnavailable is for a store that does not answer: nobody knows whether there is a session.
	CodeUnavailable = "session_store_unavailable"
)

// Ended is a session that is over. It is the error with which such a session is answered, and the
// tombstone that stands in its place for [TombstoneLife].
type Ended struct {
	// Reason is why, and At when.
	Reason Reason
	At     time.Time
	// Hint is the ID token for a logout at the provider, which a user may still ask for when the session
	// was ended from elsewhere; it is gone with the tombstone.
	Hint secret.Value
	// Origin, Issuer, Subject and SID are the session's.
	Origin, Issuer, Subject, SID string
}

// TombstoneLife is how long it is known that a session was there and why it ended; after it the id is
// unknown. Nothing writes that late: a refresh takes seconds.
const TombstoneLife = 10 * time.Minute

// LogoutLife is how long a logout is remembered for sessions that are not created yet: longer than a login
// takes to come back, and than access tokens live.
const LogoutLife = time.Hour

// EndOf returns the tombstone of s.
func EndOf(s Session, reason Reason, at time.Time) Ended {
	return Ended{
		Reason: reason, At: at, Hint: s.Tokens.ID,
		Origin: s.Origin, Issuer: s.Issuer, Subject: s.Subject, SID: s.SID,
	}
}

// Code is what the browser learns.
func (e *Ended) Code() string {
	if e.Reason == ReasonExpired || e.Reason == ReasonRefused {
		return CodeExpired
	}
	return CodeRevoked
}

// Error implements error.
func (e *Ended) Error() string { return "the session ended: " + string(e.Reason) }

// Unwrap makes it a failure to authenticate.
func (e *Ended) Unwrap() error {
	return fault.New(fault.Unauthenticated, e.Code(), "the session ended")
}

// NoSession is what a store answers when it knows nothing of a session, and when what stands there was not
// sealed for it; the cause is for the log.
func NoSession(cause error) error {
	e := fault.New(fault.Unauthenticated, CodeNone, "not logged in")
	if cause == nil {
		return e
	}
	return e.Because(cause)
}

// Unavailable is what a store answers when it cannot tell.
func Unavailable(cause error) error {
	e := fault.New(fault.Unavailable, CodeUnavailable, "the session store does not answer").Because(cause)
	e.RetryAfter = max(fault.From(cause).RetryAfter, time.Second)
	return e
}

// Error is an error that is compared by its text.
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// ErrConflict is [Store.Replace]'s when somebody else wrote in between: load, and think again.
const ErrConflict = Error("session: it was changed by another")
