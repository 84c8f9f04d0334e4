package exchange

import (
	"net/url"
	"slices"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/identity"
	"github.com/intercom-broker/intercom/broker/policy"
	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/token"
)

// Bounds on what a request may carry. Names of ours are far shorter.
const (
	maxListed = 32
	maxName   = 2048
)

// target is what the caller wants a token for.
type target struct {
	// audience is empty when only resources name the service.
	audience string
	// origins are what the resources name; the empty origin is nobody's.
	origins []string
	// asked is the audience, or the first resource, as it was written.
	asked string
}

// parse refuses what RFC 8693, section 2.1, does not allow and what this version does not have.
func (r Request) parse() (target, error) {
	for _, token := range []struct {
		what string
		ok   bool
	}{
		{"subject_token", r.SubjectToken.IsZero() == (r.SubjectTokenType == "")},
		{"actor_token", r.ActorToken.IsZero() == (r.ActorTokenType == "")},
	} {
		if !token.ok {
			return target{}, invalid("%s and %s_type come together or not at all", token.what, token.what)
		}
	}
	switch {
	case len(r.SubjectToken.Reveal()) > token.MaxBytes || len(r.ActorToken.Reveal()) > token.MaxBytes:
		return target{}, fault.New(fault.TooLarge, "", "a token of at most 16 KiB is read")
	case r.SubjectToken.IsZero() && !r.ActorToken.IsZero():
		return target{}, invalid("an actor token without a subject token: there is nobody to act for")
	case r.RequestedTokenType != "" && r.RequestedTokenType != TypeAccessToken:
		return target{}, fault.New(fault.Unsupported, "TOKEN_TYPE_UNSUPPORTED", "only access tokens are issued in this version")
	case r.Bind > BindX5T:
		return target{}, invalid("no such binding")
	case !bounded(r.Resource) || !bounded(r.Audience) || !bounded(r.Scope):
		return target{}, fault.Newf(fault.TooLarge, "", "at most %d names of at most %d bytes are read", maxListed, maxName)
	}
	return r.target()
}

func bounded(names []string) bool {
	return len(names) <= maxListed && !slices.ContainsFunc(names, func(n string) bool { return len(n) > maxName })
}

func invalid(format string, args ...any) error {
	return fault.Newf(fault.InvalidRequest, "", format, args...)
}

func (r Request) target() (target, error) {
	switch {
	case len(r.Audience) > 1:
		return target{}, invalid("one audience at a time: a token is good for one service")
	case len(r.Audience) == 0 && len(r.Resource) == 0:
		return target{}, invalid("an audience or a resource is missing")
	}
	var to target
	if len(r.Audience) == 1 {
		to.audience, to.asked = r.Audience[0], r.Audience[0]
		if to.audience == "" {
			return target{}, invalid("the audience is empty")
		}
	} else {
		to.asked = r.Resource[0]
	}
	for _, resource := range r.Resource {
		u, err := url.Parse(resource)
		// RFC 8707, section 2: an absolute URI without a fragment.
		if err != nil || u.Scheme == "" || u.Fragment != "" || u.Opaque != "" || u.Host == "" {
			return target{}, invalid("a resource is an absolute URI without a fragment")
		}
		to.origins = append(to.origins, origin(u))
	}
	return to, nil
}

// origin returns "" for what is more than an origin: a path would be part of what the caller means, and
// a token of ours is good for the whole service.
func origin(u *url.URL) string {
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.User != nil {
		return ""
	}
	return service.Origin(u)
}

// find returns the one token service that all of the names name.
func (to target) find(c *service.Catalog) (*service.Service, bool) {
	var found *service.Service
	if to.audience != "" {
		found, _ = c.ByAudience(to.audience)
	} else if at := c.ByOrigin(to.origins[0]); len(at) == 1 { // of several, nobody knows which one is meant
		found = at[0]
	}
	if found == nil {
		return nil, false
	}
	for _, o := range to.origins {
		if o == "" || o != found.Upstream.Origin() {
			return nil, false
		}
	}
	return found, true
}

// entity is what policy is asked about.
func (to target) entity(found *service.Service) policy.Entity {
	if found != nil {
		return policy.Entity{Type: "audience", ID: found.Token.Audience}
	}
	return policy.Entity{Type: "audience", ID: to.asked}
}

// narrow returns what the token will carry: what is asked for, or else all that the service takes, and
// in both cases no more than what the subject token held.
func narrow(asked, most []string, subject *Subject) ([]string, error) {
	allowed := most
	if subject != nil && subject.Limited {
		allowed = slices.DeleteFunc(slices.Clone(most), func(s string) bool { return !slices.Contains(subject.Scope, s) })
		if len(allowed) == 0 && len(most) > 0 {
			// A token without scope may be taken for one without limits.
			return nil, fault.New(fault.InvalidScope, "", "the subject token holds nothing that this service takes")
		}
	}
	if len(asked) == 0 {
		return slices.Clone(allowed), nil
	}
	var scope []string
	for _, s := range asked {
		if !slices.Contains(allowed, s) {
			return nil, fault.New(fault.InvalidScope, "", "the scope is wider than what is held")
		}
		if !slices.Contains(scope, s) {
			scope = append(scope, s)
		}
	}
	return scope, nil
}

// choose returns what the token is bound to. A caller may ask for more than the service wants, and not
// for less: a bearer token for a service that wants a bound one could be used by whoever finds it.
func choose(asked Binding, wanted service.Bind, caller identity.Workload) (bind service.Bind, cnf string, err error) {
	switch {
	case asked == BindNone && wanted == service.BindSVID:
		return "", "", invalid("this service takes tokens only that are bound to the caller's certificate")
	case asked != BindX5T && wanted != service.BindSVID:
		return service.BindNone, "", nil
	case caller.Thumbprint == "":
		return "", "", invalid("a bound token wants a caller on mTLS")
	}
	return service.BindSVID, caller.Thumbprint, nil
}
