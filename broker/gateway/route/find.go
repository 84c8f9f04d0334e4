package route

import "slices"

// Find returns the route of a request: its host as it was sent, its canonical path and its method. Without
// one it returns the methods that some route on that path would serve, sorted; none means that there is
// nothing on that path.
func (t *Table) Find(host, path, method string) (*Route, []string) {
	q := &search{host: host, method: method}
	if r := q.walk(&t.root, path); r != nil {
		return r, nil
	}
	slices.Sort(q.others)
	return nil, slices.Compact(q.others)
}

// search is one request on its way through the tree.
type search struct {
	host, method string
	others       []string
}

// walk looks in the order of specificity. What a branch does not serve the next one may.
func (q *search) walk(n *node, path string) *Route {
	if path == "" {
		if r := q.pick(n.here); r != nil {
			return r
		}
		return q.pick(n.below)
	}
	segment, rest := cut(path)
	if next := n.literals[segment]; next != nil {
		if r := q.walk(next, rest); r != nil {
			return r
		}
	}
	if n.star != nil && segment != "" { // an empty segment is not one whole segment
		if r := q.walk(n.star, rest); r != nil {
			return r
		}
	}
	return q.pick(n.below)
}

func (q *search) pick(routes []*Route) *Route {
	for _, r := range routes {
		if r.Match.Host != "" && r.Match.Host != q.host {
			continue
		}
		if r.Match.Serves(q.method) {
			return r
		}
		q.others = append(q.others, r.Match.Methods...)
	}
	return nil
}
