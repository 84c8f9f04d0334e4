package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// maxChain is how many links a chain of roles may have. Casbin stops silently there.
	maxChain = 10
	// maxHeld is how many roles one member may have, also through others: each is looked up at a decision.
	maxHeld = 256
)

// roles is the graph of g: which roles a member has at once.
type roles map[string][]string

func newRoles(links []link) roles {
	g, seen := roles{}, make(map[[2]string]bool, len(links))
	for _, l := range links {
		if pair := [2]string{l.member, l.role}; !seen[pair] {
			seen[pair] = true
			g[l.member] = append(g[l.member], l.role)
		}
	}
	return g
}

// of returns all roles that name has, also through others, and one more than maxHeld at most.
func (g roles) of(name string) []string {
	seen := map[string]bool{name: true}
	queue := []string{name}
	for i := 0; i < len(queue) && len(queue) <= maxHeld+1; i++ {
		for _, role := range g[queue[i]] {
			if !seen[role] {
				seen[role] = true
				queue = append(queue, role)
			}
		}
	}
	return queue[1:]
}

// path returns the shortest chain from name to role, both included, and nil when there is none.
func (g roles) path(name, role string) []string {
	from := map[string]string{name: ""}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == role {
			return chain(from, role)
		}
		for _, next := range g[queue[0]] {
			if _, seen := from[next]; !seen {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func chain(from map[string]string, end string) (names []string) {
	for at := end; at != ""; at = from[at] {
		names = append(names, at)
	}
	slices.Reverse(names)
	return names
}

// check refuses circles, chains that are too long and members with too many roles, at the line that makes
// them so.
func (g roles) check(links []link) (problems Problems) {
	heights := map[string]int{}
	add := func(l link, message string) {
		problems = append(problems, &Problem{File: l.file, Line: l.line, Message: message, Cure: "flatten the roles"})
	}
	for _, l := range links {
		if _, circular := g.height(l.member, heights); circular {
			l, circle := g.circle(links, heights)
			add(l, "circular roles: "+strings.Join(circle, " → "))
			return problems
		}
	}
	for _, l := range links {
		if heights[l.member] > maxChain && heights[l.role] <= maxChain {
			add(l, fmt.Sprintf("roles nested deeper than %d above %s", maxChain, l.member))
		} else if len(g.of(l.member)) > maxHeld {
			add(l, fmt.Sprintf("more than %d roles for %s", maxHeld, l.member))
		}
		if len(problems) >= maxProblems {
			break
		}
	}
	return problems
}

// circle finds the first link of a circle among the names whose height could not be finished.
func (g roles) circle(links []link, heights map[string]int) (link, []string) {
	for _, l := range links {
		if heights[l.member] == unfinished && heights[l.role] == unfinished {
			if back := g.path(l.role, l.member); back != nil {
				return l, append([]string{l.member}, back...)
			}
		}
	}
	return link{}, nil
}

// unfinished is the height of a name while it is being measured.
const unfinished = -1

// height returns how many links lead on from name at most, and whether name is part of a circle.
func (g roles) height(name string, known map[string]int) (h int, circular bool) {
	if h, ok := known[name]; ok {
		return h, h == unfinished
	}
	known[name] = unfinished
	for _, role := range g[name] {
		above, circular := g.height(role, known)
		if circular {
			return 0, true
		}
		h = max(h, 1+above)
	}
	known[name] = h
	return h, false
}

// warn names roles that have rules and no members, or members and no rules: mostly a slip of the pen.
func (g roles) warn(rules []parsed, links []link) (found []Finding) {
	held, used := map[string]bool{}, map[string]*compiled{}
	for _, of := range g {
		for _, role := range of {
			held[role] = true
		}
	}
	for i := range rules {
		if r := &rules[i]; r.subject.kind == kindRole && used[r.Subject] == nil {
			used[r.Subject] = &r.compiled
		}
	}
	for _, role := range slices.Sorted(maps.Keys(used)) {
		if !held[role] {
			found = append(found, used[role].finding(FindingRole, role, "nobody has "+role).withCure("g, MEMBER, "+role))
		}
	}
	for _, role := range slices.Sorted(maps.Keys(held)) {
		if used[role] == nil && len(g[role]) == 0 {
			at := links[slices.IndexFunc(links, func(l link) bool { return l.role == role })]
			found = append(found, Finding{ID: FindingRole, File: at.file, Line: at.line, Message: role + " has members and no rule names it"})
		}
	}
	return found
}
