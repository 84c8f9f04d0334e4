package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

const maxNearMisses = 10

// Explain decides and gives the grounds. It looks at every rule, and so takes its time.
func (s *Snapshot) Explain(ctx context.Context, r Request) (Explanation, error) {
	d, err := s.Decide(ctx, r)
	e := Explanation{Decision: d}
	if err != nil {
		e.Why = err.Error()
		return e, err
	}
	x := explainer{snapshot: s, question: question{Request: &r}, out: &e, held: map[[2]string]bool{}}
	x.sides = sidesOf(&r)
	for _, side := range x.sides {
		for _, name := range side.names {
			for _, role := range s.roles.of(name) {
				x.held[[2]string{name, role}] = true
			}
		}
	}
	if s.casbin == nil {
		x.compare()
	} else if d.Rule != nil {
		e.Matched = append(e.Matched, *d.Rule)
	}
	x.rolePath()
	e.Why = x.why()
	if !d.Allow && d.Rule == nil && s.casbin == nil {
		e.SmallestGrant = x.smallestGrant()
	}
	return e, nil
}

// side is a half of a request: the workload, or the user with its groups.
type side struct {
	names   []string
	allowed bool
}

func sidesOf(r *Request) []*side {
	sides := []*side{{names: []string{r.Principal.Subject()}}}
	if u := r.Principal.User; u != nil {
		names := []string{u.SubjectName()}
		for _, group := range u.Groups {
			names = append(names, groupPrefix+group)
		}
		sides = append(sides, &side{names: names})
	}
	return sides
}

type explainer struct {
	snapshot *Snapshot
	question question
	sides    []*side
	held     map[[2]string]bool // which name has which role
	out      *Explanation
}

// compare holds every rule against every name. It does not use the index, so that a mistake there would
// show as an explanation that disagrees with its decision.
func (x *explainer) compare() {
	var misses []rankedMiss
	for i := range x.snapshot.rules {
		rule := &x.snapshot.rules[i]
		matched := false
		for _, side := range x.sides {
			for _, name := range side.names {
				differs, rank := x.differs(rule, name)
				switch {
				case differs == "":
					matched = true
					side.allowed = side.allowed || !rule.deny
				case rank > 0 && !rule.deny:
					misses = append(misses, rankedMiss{NearMiss{rule.Rule, name, differs}, rank, side})
				}
			}
		}
		if matched {
			x.out.Matched = append(x.out.Matched, rule.Rule)
		}
	}
	if !x.out.Allow {
		x.out.NearMisses = nearest(misses)
	}
}

// differs names the one place in which rule and request differ, "" when there is none. A rank of 0 says
// that they differ in more places, or in a condition that fails.
func (x *explainer) differs(rule *compiled, name string) (place string, rank int) {
	places := 0
	note := func(p string, r int) { place, rank, places = p, r, places+1 }
	resource := x.question.Resource.String()
	if rule.Action != one && rule.Action != x.question.Action {
		note("action", 500)
	}
	if !resourceMatch(resource, rule.Resource) {
		note("resource", 1+common(resource, rule.Resource))
	}
	if places < 2 && !x.is(name, rule.Subject) {
		note("subject", 1+common(name, rule.Subject))
	}
	if places == 0 && rule.condition != nil {
		if ok, err := rule.condition.holds(*x.question.env()); err != nil {
			return "condition", 0
		} else if !ok {
			note("condition", 1000)
		}
	}
	if places > 1 {
		return place, 0
	}
	return place, rank
}

func (x *explainer) is(name, subject string) bool {
	return subjectMatch(name, subject) || x.held[[2]string{name, subject}]
}

// common counts the segments that two paths share at their beginning.
func common(a, b string) (n int) {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for n < len(as) && n < len(bs) && (as[n] == bs[n] || bs[n] == one) {
		n++
	}
	return n
}

type rankedMiss struct {
	NearMiss
	rank int
	side *side
}

// nearest leaves out the side that is allowed already, and keeps the nearest of the rest.
func nearest(misses []rankedMiss) (out []NearMiss) {
	misses = slices.DeleteFunc(misses, func(m rankedMiss) bool { return m.side.allowed })
	slices.SortStableFunc(misses, func(a, b rankedMiss) int { return b.rank - a.rank })
	for _, m := range misses[:min(len(misses), maxNearMisses)] {
		out = append(out, m.NearMiss)
	}
	return out
}

// rolePath finds how a name of the request comes to the role of the deciding rule.
func (x *explainer) rolePath() {
	if x.out.Rule == nil || !strings.HasPrefix(x.out.Rule.Subject, rolePrefix) {
		return
	}
	for _, side := range x.sides {
		for _, name := range side.names {
			if path := x.snapshot.roles.path(name, x.out.Rule.Subject); path != nil {
				x.out.RolePath = path
				return
			}
		}
	}
}

func (x *explainer) why() string {
	r, e := x.question.Request, x.out
	ask := fmt.Sprintf("%s to %s %s", r.Principal.Subject(), r.Action, r.Resource)
	if u := r.Principal.User; u != nil {
		ask = fmt.Sprintf("%s, on behalf of %s, to %s %s", r.Principal.Subject(), u.SubjectName(), r.Action, r.Resource)
	}
	through := ""
	if len(e.RolePath) > 0 {
		through = ", through " + strings.Join(e.RolePath, " → ")
	}
	if x.snapshot.Custom() {
		return x.whyCustom(ask)
	}
	switch e.Reason {
	case ReasonAllowed:
		if e.UserRule != nil {
			through += ", and " + e.UserRule.String() + " allows it to the user"
		}
		return fmt.Sprintf("%s allows %s%s", place(e.Rule), ask, through)
	case ReasonDenied:
		return fmt.Sprintf("%s forbids %s%s; a deny wins over every allow", place(e.Rule), ask, through)
	case ReasonFailed:
		return fmt.Sprintf("the condition of %s cannot be evaluated for %s: %v; that denies, also beside an allow", place(e.Rule), ask, e.Err)
	case ReasonUser:
		return fmt.Sprintf("the workload may, but no rule allows %s: the user or one of its groups needs an allow too", ask)
	default:
		return "no rule allows " + ask
	}
}

// whyCustom tells what Casbin's EnforceEx says: the rule by which the model's own effect decided. What
// the effect makes of allows and denials is the operator's affair.
func (x *explainer) whyCustom(ask string) string {
	e := x.out
	switch {
	case e.Err != nil:
		return fmt.Sprintf("the matcher of %s cannot be evaluated for %s: %v; that denies", modelFile, ask, e.Err)
	case e.Allow && e.UserRule != nil:
		return fmt.Sprintf("by %s, %s allows %s, and %s allows it to the user", modelFile, place(e.Rule), ask, e.UserRule)
	case e.Allow && e.Rule == nil:
		return fmt.Sprintf("%s allows %s, since no rule denies it", modelFile, ask)
	case e.Allow:
		return fmt.Sprintf("by %s, %s allows %s", modelFile, e.Rule, ask)
	case e.Rule != nil:
		return fmt.Sprintf("by %s, %s denies %s", modelFile, e.Rule, ask)
	case e.Reason == ReasonUser:
		return fmt.Sprintf("by %s the workload may, but no rule allows %s: the user or one of its groups needs an allow too", modelFile, ask)
	}
	return fmt.Sprintf("by %s no rule allows %s", modelFile, ask)
}

func place(r *Rule) string {
	if r == nil {
		return modelFile
	}
	return r.String()
}

// smallestGrant writes a line for each side that lacks an allow.
func (x *explainer) smallestGrant() string {
	resource, ok := literalResource(x.question.Resource.String())
	if !ok {
		return ""
	}
	var lines []string
	for _, side := range x.sides {
		if side.allowed {
			continue
		}
		line := joinLine("p", side.names[0], x.question.Action, resource, allow)
		if !x.grants(line, side.names[0]) {
			return ""
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// literalResource writes a request's resource as a rule. What a rule cannot say literally becomes the
// narrowest wildcard.
func literalResource(resource string) (string, bool) {
	segs := strings.Split(resource, "/")
	for i, seg := range segs {
		if strings.ContainsAny(seg, "*?[]{}") {
			segs[i] = one
		}
	}
	return strings.Join(segs, "/"), segs[0] != one
}

// grants reads the line back: a grant that would be refused, or would not allow the request, is none.
func (x *explainer) grants(line, name string) bool {
	values, err := splitLine(line)
	if err != nil || len(values) == 0 {
		return false
	}
	rule, r := parseRule(values[1:])
	return r == nil && rule.subject.literal() && rule.Action == x.question.Action && subjectMatch(name, rule.Subject) &&
		resourceMatch(x.question.Resource.String(), rule.Resource)
}
