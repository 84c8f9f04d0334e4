package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/intercom-broker/intercom/broker/identity"
)

// Question is a Request in words, as an operator types it and as the audit log keeps it.
type Question struct {
	// Subject is the workload's SPIFFE ID; required.
	Subject string
	// User is on whose behalf it acts, as user:ISSUER|SUB; empty means for itself.
	User string
	// Groups are the user's.
	Groups []string
	Action string
	// Resource is in the policy's form, such as credential/crm/login.
	Resource string
	// Time is when; the zero Time means now.
	Time time.Time
}

// Request returns the question as a Request, or says which part of it is none.
func (q Question) Request() (Request, error) {
	id, err := spiffeid.FromString(q.Subject)
	if err != nil {
		return Request{}, fmt.Errorf("the subject %q is no SPIFFE ID: %w", q.Subject, err)
	}
	r := Request{Principal: identity.Principal{Workload: identity.Workload{ID: id}}, Action: q.Action, Resource: ParseEntity(q.Resource), Time: q.Time}
	if q.Action == "" || q.Resource == "" {
		return Request{}, fmt.Errorf("a question wants an action and a resource")
	}
	if q.User == "" {
		return r, nil
	}
	issuer, subject, found := strings.Cut(strings.TrimPrefix(q.User, "user:"), "|")
	if !found || issuer == "" || subject == "" || !strings.HasPrefix(q.User, "user:") {
		return Request{}, fmt.Errorf("the user %q is not in the form user:ISSUER|SUB", q.User)
	}
	r.Principal.User = &identity.User{Issuer: issuer, Subject: subject, Groups: q.Groups}
	return r, nil
}

// ParseEntity is the reverse of [Entity.String].
func ParseEntity(s string) Entity {
	kind, id, _ := strings.Cut(s, "/")
	return Entity{Type: kind, ID: id}
}
