package route

import (
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/service"
	"github.com/intercom-broker/intercom/broker/strict"
)

// Table finds routes. It never changes, and is safe for concurrent use. The zero Table has no routes.
type Table struct {
	root  node
	count int
}

// Route is one match of one service.
type Route struct {
	Service *service.Service
	Match   service.Match
}

// node is a place in the tree of path patterns.
type node struct {
	literals map[string]*node
	star     *node
	here     []*Route // patterns that end here, the most specific first
	below    []*Route // patterns that end in /** here
}

// Rule is what the gateway asks of every service that browsers reach, beyond what its file must hold. It
// returns nil when there is nothing to say.
type Rule func(*service.Service) *strict.Error

// New makes the table of a catalogue. hosts are those of the gateway's origins: a match for another one can
// never be reached, and is refused with its place, as is a service that breaks a rule.
func New(c *service.Catalog, hosts []string, rules ...Rule) (*Table, error) {
	t := &Table{}
	var errs strict.Errors
	for _, s := range c.All() {
		if s.Browser == nil {
			continue
		}
		for _, rule := range rules {
			if err := rule(s); err != nil {
				errs = append(errs, err)
			}
		}
		for _, m := range s.Browser.Matches {
			if m.Host != "" && !slices.Contains(hosts, m.Host) {
				errs = append(errs, unreachable(s, m, hosts))
				continue
			}
			t.add(&Route{Service: s, Match: m})
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return t, nil
}

func unreachable(s *service.Service, m service.Match, hosts []string) *strict.Error {
	e := s.RefuseAt(m.Pos, "match: %s is the host of no origin of the gateway", m.Host)
	e.Suggestion = strict.Suggest(m.Host, hosts)
	return e
}

// Len returns how many routes there are.
func (t *Table) Len() int { return t.count }

func (t *Table) add(r *Route) {
	pattern, deep := strings.CutSuffix(r.Match.Path, "/**")
	n := &t.root
	for rest := pattern; rest != ""; {
		var segment string
		segment, rest = cut(rest)
		n = n.child(segment)
	}
	list := &n.here
	if deep {
		list = &n.below
	}
	*list = append(*list, r)
	slices.SortStableFunc(*list, moreSpecific)
	t.count++
}

func (n *node) child(segment string) *node {
	if segment == "*" {
		if n.star == nil {
			n.star = &node{}
		}
		return n.star
	}
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	if n.literals[segment] == nil {
		n.literals[segment] = &node{}
	}
	return n.literals[segment]
}

// cut takes the first segment from a path that begins with a slash.
func cut(path string) (segment, rest string) {
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// moreSpecific orders matches of the same path.
func moreSpecific(a, b *Route) int {
	if d := rank(a.Match.Host == "") - rank(b.Match.Host == ""); d != 0 {
		return d
	}
	return rank(len(a.Match.Methods) == 0) - rank(len(b.Match.Methods) == 0)
}

func rank(general bool) int {
	if general {
		return 1
	}
	return 0
}
