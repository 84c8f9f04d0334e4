package policy

import (
	"hash/maphash"
	"strings"
)

// outcome is what the rules say for one side of a request.
type outcome struct {
	allowed bool
	allow   int32 // the first rule that allows, or noRule
	stop    int32 // the first rule that denies, or whose condition failed, or noRule
	err     error // why it failed
}

const noRule = -1

func unmatched() outcome { return outcome{allow: noRule, stop: noRule} }

// answer is what they say for both sides.
type answer struct{ workload, user outcome }

// add counts one rule that matches in all but its condition.
func (o *outcome) add(x *index, rule int32, q *question) {
	if o.stop >= 0 && o.stop <= rule || !x.deny[rule] && x.when[rule] == nil && o.allow >= 0 && o.allow <= rule {
		return
	}
	if c := x.when[rule]; c != nil {
		ok, err := c.holds(*q.env())
		if err != nil {
			o.stop, o.err = rule, err
			return
		}
		if !ok {
			return
		}
	}
	if x.deny[rule] {
		o.stop, o.err = rule, nil
	} else if o.allow < 0 || rule < o.allow {
		o.allowed, o.allow = true, rule
	}
}

// question is a request while it is being decided.
type question struct {
	*Request
	environment *environment
}

func (q *question) env() *environment {
	if q.environment == nil {
		q.environment = newEnvironment(q.Request)
	}
	return q.environment
}

// path is a request's resource or SPIFFE ID in segments, each hashed once.
type path struct {
	n      int // how many there are, also beyond maxSegments
	segs   [maxSegments]string
	hashes [maxSegments]uint64
}

// push appends the segments of text.
func (p *path) push(seed maphash.Seed, text string) {
	for more := true; more; p.n++ {
		var seg string
		seg, text, more = strings.Cut(text, "/")
		if p.n < maxSegments {
			p.segs[p.n], p.hashes[p.n] = seg, maphash.String(seed, seg)
		}
	}
}

// hash returns the hash that a pattern of shape s would have if it matched p, and false if none can.
func (p *path) hash(number int, s shape) (uint64, bool) {
	n := s.segments
	if number == 0 {
		n = p.n
	}
	if n > maxSegments || n > p.n || (s.tail && n == p.n) || (!s.tail && n != p.n) {
		return 0, false
	}
	h := combine(uint64(number), uint64(n))
	for i := range n {
		if s.wild&(1<<i) == 0 {
			h = combine(h, p.hashes[i])
		} else if p.segs[i] == "" {
			return 0, false // an empty segment is not one whole segment
		}
	}
	return h, true
}

// equal compares the literals of a candidate.
func (p *path) equal(s shape, segs []string) bool {
	if len(segs) > p.n || (s.literal() && len(segs) != p.n) {
		return false
	}
	for i, seg := range segs {
		if s.wild&(1<<i) == 0 && p.segs[i] != seg {
			return false
		}
	}
	return true
}

// find puts the patterns that match p into found.
func (s *patternSet) find(p *path, found *matches) {
	for number, form := range s.shapes {
		h, fits := p.hash(number, form)
		if !fits {
			continue
		}
		if id, ok := s.byHash.get(h); ok && p.equal(form, s.segs[id]) {
			found.list[found.n] = match{id: uint32(id), shape: uint8(number)}
			found.n++
		}
	}
}

// match is a pattern that matches.
type match struct {
	id    uint32
	shape uint8
}

// matches holds as many as there can be: one for each shape, a literal one, and `**`.
type matches struct {
	list [maxShapes + 2]match
	n    int
}

// lookup is one decision under way.
type lookup struct {
	*index
	question  *question
	resource  path
	subject   path
	resources matches
	action    uint8
}

func (x *index) decide(q *question) answer {
	a := answer{unmatched(), unmatched()}
	l := lookup{index: x, question: q}
	l.action = actionNumber(q.Action) // 0 for an unknown one: a deny for every action denies that too
	l.resource.push(x.seed, q.Resource.Type)
	if q.Resource.ID != "" {
		l.resource.push(x.seed, q.Resource.ID)
	}
	x.resources.find(&l.resource, &l.resources)
	if l.resources.n == 0 {
		return a
	}
	l.workload(&a.workload)
	if q.Principal.User != nil {
		l.user(&a.user)
	}
	return a
}

func (l *lookup) workload(o *outcome) {
	name := l.question.Principal.Subject()
	l.holder(o, l.names[name])
	l.reaches(o, l.everybody)
	if len(l.spiffe.shapes) == 1 {
		return
	}
	l.subject.push(l.seed, name[len(spiffeScheme):])
	var found matches
	l.spiffe.find(&l.subject, &found)
	for _, m := range found.list[:found.n] {
		l.reaches(o, m.id)
	}
}

func (l *lookup) user(o *outcome) {
	u := l.question.Principal.User // everybody is counted with the workload: such rules only deny
	l.holder(o, l.users[userKey{u.Issuer, u.Subject}])
	if id, ok := l.issuers[u.Issuer]; ok {
		l.reaches(o, id)
	}
	for _, group := range u.Groups {
		l.holder(o, l.groups[group])
	}
}

func (l *lookup) holder(o *outcome, h *holder) {
	if h == nil {
		return
	}
	l.reaches(o, h.self)
	for _, role := range h.roles {
		l.reaches(o, role)
	}
}

// reaches counts the rules of one subject's pattern for the resources that were found.
func (l *lookup) reaches(o *outcome, subject uint32) {
	if subject == none {
		return
	}
	r := &l.subjects[subject]
	named, every := r[l.action], r[0]
	if named|every == 0 {
		return
	}
	for _, m := range l.resources.list[:l.resources.n] {
		if named>>m.shape&1 != 0 {
			l.count(o, pairKey(subject, m.id, l.action))
		}
		if l.action != 0 && every>>m.shape&1 != 0 {
			l.count(o, pairKey(subject, m.id, 0))
		}
	}
}

func (l *lookup) count(o *outcome, pair uint64) {
	at, ok := l.pairs.get(pair)
	if !ok {
		return
	}
	start, end := spanOf(at)
	for _, rule := range l.order[start:end] {
		o.add(l.index, rule, l.question)
	}
}
