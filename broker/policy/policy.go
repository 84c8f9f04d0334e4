package policy

import (
	"context"
	"strconv"
	"time"

	"github.com/intercom-broker/intercom/broker/identity"
)

// The closed list of actions. A rule with any other is refused when it is loaded.
const (
	ActionVend       = "vend"       // hand out a credential
	ActionExchange   = "exchange"   // trade a token for a narrower one
	ActionCall       = "call"       // send a request to a service with the credential put in
	ActionEvaluate   = "evaluate"   // ask for a decision about another subject
	ActionExplain    = "explain"    // ask why
	ActionIntrospect = "introspect" // ask whether a token is active (RFC 7662)
	ActionReflect    = "reflect"    // list the gRPC services
	ActionAdmin      = "admin"      // everything under admin/
)

// Entity is what a request is about, in AuthZEN's form.
type Entity struct {
	// Type is the first segment: `credential`, `audience`, `service`, `pdp`, `admin`.
	Type string
	// ID is the rest; empty where the type says all.
	ID string
	// Properties are what conditions read as `r.properties`.
	Properties map[string]any
}

// String returns the entity in the policy's form, such as `credential/crm/login` or `pdp`.
func (e Entity) String() string {
	if e.ID == "" {
		return e.Type
	}
	return e.Type + "/" + e.ID
}

// Request is a question: may this principal do this?
type Request struct {
	Principal identity.Principal
	Action    string
	Resource  Entity
	// Context is AuthZEN's fourth part. The shipped model does not read it, since its conditions trust
	// only what was proven; an operator's own model may name it in its request_definition.
	Context map[string]any
	// Time is when; the zero Time means now.
	Time time.Time
}

// Rule is one line of the policy.
type Rule struct {
	File string
	Line int
	// Text is the line as it stands in the file.
	Text string

	Subject, Action, Resource string
	// Effect is `allow` or `deny`.
	Effect string
	// Condition is empty where there is none.
	Condition string
}

// String returns the rule's place, `policy.csv:12`.
func (r Rule) String() string { return r.File + ":" + strconv.Itoa(r.Line) }

// The reasons of decisions, short and without names, so that they may be told to a caller.
const (
	ReasonAllowed   = "allowed by a rule"
	ReasonDenied    = "denied by a rule"
	ReasonFailed    = "a condition could not be evaluated"
	ReasonUnmatched = "no rule allows it"
	ReasonUser      = "no rule allows it to the user"
	ReasonNobody    = "nobody is asking"
)

// Decision is the answer. The zero Decision denies.
type Decision struct {
	Allow bool
	// Revision names the policy that decided.
	Revision string
	// Rule decided; nil when nothing matched. For a request on behalf of a user that was allowed it is the
	// rule that allowed the workload.
	Rule *Rule
	// UserRule is the rule that allowed the user, nil when the workload acts for itself or was denied.
	UserRule *Rule
	// Reason is one of the Reason constants.
	Reason string
	// Err is why a condition could not be evaluated, for the log; such a decision never allows.
	Err error
}

// Decider answers requests. An error is never an allow.
type Decider interface {
	Decide(context.Context, Request) (Decision, error)
}

// NearMiss is a rule that differs from the request in one place only.
type NearMiss struct {
	Rule Rule
	// For is the subject it was held against: the workload's SPIFFE ID, or the user's or a group's name.
	For string
	// Differs is `subject`, `action`, `resource` or `condition`.
	Differs string
}

// Explanation is a Decision with its grounds, for operators.
type Explanation struct {
	Decision
	// Why is the reason in full sentences, with names and places.
	Why string
	// Matched are all rules that matched, in the order of the files.
	Matched []Rule
	// NearMisses are allow rules that differ in one place only, the nearest first; at most 10.
	NearMisses []NearMiss
	// SmallestGrant are the CSV lines that would allow exactly this; empty when it is allowed, or when a
	// deny or a failed condition stands against it.
	SmallestGrant string
	// RolePath leads from the subject to the role that the deciding rule names; empty when it names none.
	RolePath []string
}
