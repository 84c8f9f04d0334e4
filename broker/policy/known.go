package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Known is what rules may speak of: what the service files name, and whom the broker lets in.
type Known struct {
	// Services, Audiences and Credentials have the names of each, and for those of which the broker never
	// does what the type's action says (a call through the egress door, an exchange, a vend) the reason.
	// Denials of those still count: they veto what would be put into a call. nil means not known.
	Services, Audiences, Credentials map[string]string
	// Domains are the trust domains whose workloads are let in; nil means that they are not known.
	Domains []string
	// Issuers are the OpenID issuers whose users are known; nil means that they are not known.
	Issuers []string
}

func (k Known) names(kind string) (map[string]string, bool) {
	names := map[string]map[string]string{"service": k.Services, "audience": k.Audiences, "credential": k.Credentials}[kind]
	return names, names != nil
}

// Lint holds the rules against what they speak of, and against each other. What it finds is accepted all
// the same: services and rules may be written by different people, one after the other. Of an operator's
// own model it finds nothing, since only Casbin knows what its rules mean.
func (s *Snapshot) Lint(k Known) (found []Finding) {
	if s.Custom() {
		return nil
	}
	for _, l := range s.links {
		f := Finding{File: l.file, Line: l.line}
		found = slices.Concat(found, k.checkDomain(l.member, f), k.checkIssuer(l.member, f))
	}
	for i := range s.rules {
		r := &s.rules[i]
		found = append(found, k.checkDomain(r.Subject, r.finding("", domainOf(r.Subject), ""))...)
		found = append(found, k.checkIssuer(r.Subject, r.finding("", r.Subject, ""))...)
		found = append(found, k.checkResource(r)...)
		if by := s.shadow(r); by != nil {
			found = append(found, r.finding(FindingShadowed, r.Effect, fmt.Sprintf("never allows anything: %s denies all of it", by)).withCure("delete one of the two"))
		}
	}
	return found
}

// checkDomain completes f, which has the place, for a subject whose trust domain is not let in.
func (k Known) checkDomain(subject string, f Finding) []Finding {
	domain := domainOf(subject)
	if k.Domains == nil || domain == "" || slices.Contains(k.Domains, domain) {
		return nil
	}
	f.ID, f.Message = FindingForeigner, fmt.Sprintf("workloads of trust domain %q are not let in, so this never matches", domain)
	if f.Cure = didYouMean(domain, k.Domains); f.Cure == "" {
		f.Cure = "let it in by identity.allow, if it should be"
	}
	return []Finding{f}
}

// checkIssuer is checkDomain for users.
func (k Known) checkIssuer(subject string, f Finding) []Finding {
	user, isUser := strings.CutPrefix(subject, userPrefix)
	issuer, _, _ := strings.Cut(user, "|")
	if k.Issuers == nil || !isUser || slices.Contains(k.Issuers, issuer) {
		return nil
	}
	f.ID, f.Message = FindingForeigner, fmt.Sprintf("users of issuer %q are not known, so this never matches", issuer)
	if f.Cure = didYouMean(issuer, k.Issuers); f.Cure == "" {
		f.Cure = "name the issuer in issuers, or as a gateway's provider.issuer, if it should be"
	}
	return []Finding{f}
}

// domainOf returns the trust domain of a SPIFFE ID or a pattern of one, and "" for other subjects.
func domainOf(subject string) string {
	path, ok := strings.CutPrefix(subject, spiffeScheme)
	domain, _, _ := strings.Cut(path, "/")
	if !ok {
		return ""
	}
	return domain
}

// Domains counts the rules that name workloads of each trust domain.
func (s *Snapshot) Domains() map[string]int {
	count := map[string]int{}
	for i := range s.rules {
		if domain := domainOf(s.rules[i].Subject); domain != "" {
			count[domain]++
		}
	}
	return count
}

func (k Known) checkResource(r *compiled) []Finding {
	kind, name, _ := strings.Cut(r.Resource, "/")
	known, ok := k.names(kind)
	if !ok || name == "" || !slices.Contains(asks()[r.Action], kind) && r.Action != one {
		return nil
	}
	if kind == "service" && !strings.Contains(name, "/") && name != rest {
		cure := fmt.Sprintf("write service/%s/** for all of its methods", name)
		return []Finding{r.finding(FindingVoid, r.Resource, "never matches: calls are about service/NAME/METHOD/PATH").withCure(cure)}
	}
	why, exists := matching(r.Resource, kind, name, known)
	switch {
	case !exists:
		return []Finding{k.unknown(r, kind, name, known)}
	case why != "" && !r.deny && r.Action != ActionIntrospect:
		return []Finding{r.finding(FindingNoEffect, r.Resource, "allows what never happens: "+why)}
	}
	return nil
}

// matching reports whether any known name can be meant, and why none of those is of use.
func matching(resource, kind, name string, known map[string]string) (why string, exists bool) {
	if kind == "service" {
		name, _, _ = strings.Cut(name, "/")
	}
	if !strings.Contains(name, one) { // the most of them
		why, exists = known[name]
		return why, exists
	}
	for have, reason := range known {
		if !about(resource, kind, have) {
			continue
		}
		if reason == "" {
			return "", true
		}
		why, exists = max(why, reason), true // the same one every time
	}
	return why, exists
}

func (k Known) unknown(r *compiled, kind, name string, known map[string]string) Finding {
	if kind == "service" {
		name, _, _ = strings.Cut(name, "/")
	}
	message := fmt.Sprintf("%s %q stands in no service file", kind, name)
	if strings.Contains(name, one) {
		message = fmt.Sprintf("no %s in the service files matches %q", kind, name)
	}
	cure := didYouMean(name, slices.Sorted(maps.Keys(known)))
	if r.deny {
		message += ", so this denies nothing"
	}
	return r.finding(FindingUnknown, r.Resource, message).withCure(cure)
}

// about reports whether a rule's resource can be one of that name. Of a service it is the name's segment
// that counts: the method and the path behind it may be any.
func about(resource, kind, name string) bool {
	if resource == anything {
		return true
	}
	if kind != "service" {
		return resourceMatch(kind+"/"+name, resource)
	}
	segs := strings.Split(resource, "/")
	if segs[0] != kind || len(segs) < 2 {
		return false
	}
	return segs[1] == rest && len(segs) == 2 || len(segs) > 2 && (segs[1] == name || segs[1] == one)
}

// Grants reports whether some workload may do something with what has that name: whether there is an
// allow, for a workload or a role that one has, that no deny takes away as a whole. Of an operator's own
// model that cannot be told, and the answer is yes.
func (s *Snapshot) Grants(action string, of Entity) bool {
	if s.Custom() {
		return true
	}
	held := s.heldByWorkloads()
	return slices.ContainsFunc(s.rules, func(r compiled) bool {
		workload := strings.HasPrefix(r.Subject, spiffeScheme) || held[r.Subject]
		return !r.deny && workload && r.Action == action && about(r.Resource, of.Type, of.ID) && s.shadow(&r) == nil
	})
}

// heldByWorkloads are the roles that some workload has.
func (s *Snapshot) heldByWorkloads() map[string]bool {
	held := map[string]bool{}
	for member := range s.roles {
		if strings.HasPrefix(member, spiffeScheme) {
			for _, role := range s.roles.of(member) {
				held[role] = true
			}
		}
	}
	return held
}

// maxPairs bounds how many pairs of rules are compared: a policy that has more takes minutes otherwise.
const maxPairs = 50_000_000

// shadow returns a deny without condition that covers all of the allow r. It looks at every such deny, and
// in policies that have very many of both at none.
func (s *Snapshot) shadow(r *compiled) *compiled {
	if r.deny || len(s.rules)*len(s.denials) > maxPairs {
		return nil
	}
	for _, i := range s.denials {
		d := &s.rules[i]
		if (d.Action == one || d.Action == r.Action) && covers(d.Resource, r.Resource) && s.coversSubject(d.Subject, r.Subject) {
			return d
		}
	}
	return nil
}

func (s *Snapshot) coversSubject(wide, narrow string) bool {
	a, ok1 := strings.CutPrefix(wide, spiffeScheme)
	b, ok2 := strings.CutPrefix(narrow, spiffeScheme)
	if ok1 && ok2 {
		return covers(a, b)
	}
	return subjectMatch(narrow, wide) || strings.HasPrefix(wide, rolePrefix) && slices.Contains(s.roles.of(narrow), wide)
}

// covers reports whether everything that the pattern narrow matches is matched by wide.
func covers(wide, narrow string) bool {
	if wide == anything {
		return true
	}
	for {
		w, wtail, wmore := strings.Cut(wide, "/")
		n, ntail, nmore := strings.Cut(narrow, "/")
		switch {
		case w == rest && !wmore:
			return true
		case n == rest && !nmore, w != n && (w != one || n == ""), wmore != nmore:
			return false
		case !wmore:
			return true
		}
		wide, narrow = wtail, ntail
	}
}
