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
	// Facts are what conditions and own models read besides, as NAME=VALUE in the form of [RunCases]:
	// claims.NAME, properties.NAME, context.NAME and time.
	Facts []string
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
	if q.User != "" {
		if r.Principal.User, err = q.user(); err != nil {
			return Request{}, err
		}
	}
	return r, q.facts(&r)
}

func (q Question) user() (*identity.User, error) {
	issuer, subject, found := strings.Cut(strings.TrimPrefix(q.User, "user:"), "|")
	if !found || issuer == "" || subject == "" || !strings.HasPrefix(q.User, "user:") {
		return nil, fmt.Errorf("the user %q is not in the form user:ISSUER|SUB", q.User)
	}
	return &identity.User{Issuer: issuer, Subject: subject, Groups: q.Groups}, nil
}

func (q Question) facts(r *Request) error {
	for _, fact := range q.Facts {
		name, value, found := strings.Cut(fact, "=")
		if !found || name == "user" || name == "group" {
			return fmt.Errorf("%q is no fact: write time=, claims.NAME=, properties.NAME= or context.NAME=", fact)
		}
		if strings.HasPrefix(name, "claims.") && q.User == "" {
			return fmt.Errorf("%q is a claim of a user, and there is none", fact)
		}
		if err := r.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// ParseEntity is the reverse of [Entity.String].
func ParseEntity(s string) Entity {
	kind, id, _ := strings.Cut(s, "/")
	return Entity{Type: kind, ID: id}
}
