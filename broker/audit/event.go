package audit

import (
	"context"
	"time"
)

// Kind says what an entry records.
type Kind string

// What callers record.
const (
	KindDecision Kind = "decision" // somebody asked, and policy answered
	KindOutcome  Kind = "outcome"  // what became of an allowed act
	KindAdmin    Kind = "admin"    // an operator's command
)

// What the log records of itself.
const (
	KindSegment    Kind = "segment"    // the first line of a file: which one, and what it follows
	KindOpen       Kind = "open"       // a process took over, and what it had to cut off
	KindCheckpoint Kind = "checkpoint" // a signature over the chain so far
	KindPrune      Kind = "prune"      // segments that were deleted because they were old
)

// Event is what happened. Its strings are names, never values: a credential's name and version, not its
// content. Each is cut at [MaxString] bytes.
type Event struct {
	// Decision is the id from [NewID] that a decision and its outcome share.
	Decision string `json:"decision,omitempty"`
	// Kind is one of KindDecision, KindOutcome and KindAdmin.
	Kind Kind `json:"kind"`
	// Time is when it happened; zero means when it is recorded.
	Time time.Time `json:"time"`
	// Subject is who asked, User for whom ("user:ISSUER|SUB"), with the Groups that counted.
	Subject string   `json:"subject,omitempty"`
	User    string   `json:"user,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	// Actors are the workloads that the request came through, the latest first.
	Actors []string `json:"actors,omitempty"`
	// Proof is how Subject was proven, with "+" and the user's proof where there is a user.
	Proof    string `json:"proof,omitempty"`
	Action   string `json:"action,omitempty"`
	Resource string `json:"resource,omitempty"`
	// Rule is the file and line of the rule that decided; Revision is the policy's.
	Rule     string `json:"rule,omitempty"`
	Revision string `json:"revision,omitempty"`
	Allow    bool   `json:"allow,omitempty"`
	// Trace is the W3C trace id.
	Trace string `json:"trace,omitempty"`
	// Credential and Version are what was handed out or put into a request. Several at once are written as
	// name@version with commas between, and have no Version.
	Credential string `json:"credential,omitempty"`
	Version    uint64 `json:"version,omitempty"`
	// Result is "ok" or the failure's kind.
	Result   string        `json:"result,omitempty"`
	Bytes    int64         `json:"bytes,omitempty"`
	Duration time.Duration `json:"duration,omitempty"` // nanoseconds
	// Why is one sentence for the operator.
	Why string `json:"why,omitempty"`
}

// Recorder takes events. When Record returns nil the event is in the kernel's hands, or on the disk,
// as the log is configured; when it returns an error the act must not begin.
type Recorder interface {
	Record(context.Context, Event) error
}
