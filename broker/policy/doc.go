// Package policy decides: may this principal do this action on this resource? It decides and explains; it
// enforces nothing and writes no log. Package pep does.
//
// # Rules
//
// A policy is a directory: every *.csv in the order of the names, and a model.conf where the shipped one
// is not wanted. A line is one of
//
//	p, subject, action, resource, effect[, condition]
//	g, member, role
//	# a comment
//
// A subject is spiffe://DOMAIN/PATH, user:ISSUER|SUB, group:NAME or role:NAME; a member is one of these,
// literally, and a role is role:NAME. A resource is its type and its id: credential/crm/login,
// audience/ledger, service/crm/GET/path, pdp, admin/…. The actions are a closed list, [Actions]. The effect
// is allow or deny: a deny wins over every allow, and what nothing allows is denied. Only grant/NAME, an
// OAuth grant type that a client may use, is asked about the other way round: it takes a deny to refuse it.
//
// # Patterns
//
// Subjects and resources are compared segment by segment, byte by byte. In a pattern `*` is exactly one
// whole segment, and not an empty one; `/**` at the end is whatever follows the slash: one segment or more,
// of which the last may be empty, so that service/crm/GET/** covers the root path service/crm/GET/. The
// trust domain, the issuer, the type of a resource, groups and roles are literal; user:ISSUER|* is every
// user of an issuer. There is nothing else, and what looks like something else is refused.
//
// In deny rules, and only there, `**` alone is every subject or every resource and `*` is every action. An
// allow has to name what it allows: one for everything would grant what is added next year.
//
// # On behalf of a user
//
// When a workload acts for a user, the workload needs an allow, and the user or one of its groups needs
// one for the same action and resource. A deny that matches either wins. So a service cannot use its own
// rights for a user who has none, nor a user those of a service.
//
// # Conditions
//
// A condition is what Casbin's eval takes, over a closed list of fields, [ConditionFields], and two
// functions, has and get. It is parsed when the rule is loaded. A condition that cannot be evaluated, such
// as one that reads a claim which is not there, denies, also beside another allow; has asks first. Of a user
// who comes by a token of ours no claims are known: there has fails as well.
//
// # Who decides
//
// The shipped model is the source of truth, and Casbin with that model is what a decision means. Casbin
// looks at every rule, so an index of the rules decides in its place; its comment says how, and
// FuzzIndexEqualsCasbin holds the two equal. An operator's own model is decided by Casbin itself.
//
// A [Snapshot] is one policy and never changes. An [Engine] holds the current one, follows the directory,
// and keeps the last revisions so that a recorded decision can be explained by the policy that made it.
package policy
