package policy

import (
	"hash/maphash"
	"maps"
	"math/bits"
	"slices"
)

// index answers what the shipped model's matcher asks, without looking at every rule.
//
// Every distinct subject and every distinct resource of the rules is a pattern with a number. A request
// is resolved in three steps, each bounded by the number of shapes and of the subject's roles, not by
// the number of rules:
//
//  1. resource → the patterns that match it: its segments are hashed once; each shape that fits combines
//     the hashes where it has no wildcard and looks into one map;
//  2. subject → the patterns that match it, in the same way, and the roles of its literal form, closed
//     over g when the index was built;
//  3. each pair of the two, with the action → rules. A subject's pattern knows for each action which
//     shapes of resources its rules have, so that most pairs are not looked up at all.
//
// A hash only finds a candidate: its literals are compared before it counts, so that a collision can
// neither allow nor deny.
type index struct {
	seed      maphash.Seed
	resources patternSet
	spiffe    patternSet // patterns with a wildcard; literal ones are in names
	names     map[string]*holder
	users     map[userKey]*holder
	groups    map[string]*holder
	issuers   map[string]uint32 // user:ISSUER|*
	everybody uint32            // **
	subjects  []reach           // by subject number
	pairs     table             // pair → span in order
	order     []int32           // rules by pair
	deny      []bool            // by rule
	when      []*condition
	refuses   [actionCount]bool // actions for which a rule may refuse
}

type userKey struct{ issuer, subject string }

// none is no pattern.
const none = ^uint32(0)

// holder is a literal subject and the roles it has.
type holder struct {
	self  uint32
	roles []uint32
}

// actionCount is how many actions there are, with `*` as number 0.
const actionCount = 9

// reach is what a subject's rules reach: for each action the shapes of their resources, one bit each.
type reach [actionCount]uint64

// A span is a run of rules in index.order: where it starts, and how many they are.

func span(start, n uint64) uint64 { return start<<32 | n }

func spanOf(value uint64) (start, end uint64) {
	start = value >> 32
	return start, start + value&(1<<32-1)
}

// patternSet finds the patterns of paths that match a request.
type patternSet struct {
	shapes []shape // the literal one is number 0
	byHash table
	segs   [][]string // by pattern number
	bit    []uint8    // by pattern number: its shape
}

func newPatternSet(k kind, n int) patternSet {
	return patternSet{shapes: []shape{{kind: k}}, byHash: newTable(n)}
}

// actionNumber returns the number of an action, and 0 for `*` and for what no rule can name.
func actionNumber(action string) uint8 {
	switch action {
	case ActionVend:
		return 1
	case ActionExchange:
		return 2
	case ActionCall:
		return 3
	case ActionEvaluate:
		return 4
	case ActionExplain:
		return 5
	case ActionIntrospect:
		return 6
	case ActionReflect:
		return 7
	case ActionAdmin:
		return 8
	}
	return 0
}

func pairKey(subject, resource uint32, action uint8) uint64 {
	return uint64(subject)<<32 | uint64(resource)<<4 | uint64(action)
}

// newIndex builds the index. The rules are few enough by the bounds of what is read for 28 bits each.
func newIndex(rules []parsed, g roles) *index {
	for {
		b := &builder{index: &index{
			seed: maphash.MakeSeed(), resources: newPatternSet(kindPath, len(rules)), spiffe: newPatternSet(kindSPIFFE, wild(rules)),
			names: map[string]*holder{}, users: map[userKey]*holder{}, groups: map[string]*holder{},
			issuers: map[string]uint32{}, everybody: none, pairs: newTable(len(rules)),
		}, subjects: map[string]uint32{}, resourceIDs: map[string]uint32{}}
		if b.build(rules, g) {
			return b.index
		}
		// Two patterns had one hash: another seed parts them.
	}
}

// mayDeny reports whether any rule may refuse that action to anybody.
func (x *index) mayDeny(action string) bool { return x.refuses[0] || x.refuses[actionNumber(action)] }

// wild counts the rules whose subject is not one SPIFFE ID.
func wild(rules []parsed) (n int) {
	for i := range rules {
		if s := &rules[i].subject; s.kind == kindSPIFFE && !s.literal() {
			n++
		}
	}
	return n
}

// builder is an index on its way.
type builder struct {
	*index
	subjects    map[string]uint32 // by text
	resourceIDs map[string]uint32
}

func (b *builder) build(rules []parsed, g roles) bool {
	keys := make([]uint64, len(rules))
	for i := range rules {
		r := &rules[i]
		s, ok1 := b.subject(&r.subject)
		res, ok2 := b.resource(&r.resource)
		if !ok1 || !ok2 {
			return false
		}
		action := actionNumber(r.Action)
		b.index.subjects[s][action] |= 1 << b.resources.bit[res]
		keys[i] = pairKey(s, res, action)
		b.deny = append(b.deny, r.deny)
		b.refuses[action] = b.refuses[action] || r.deny || r.condition != nil // one that fails denies
		b.when = append(b.when, r.condition)
	}
	b.spans(keys)
	for _, member := range slices.Sorted(maps.Keys(g)) {
		b.member(member, g.of(member))
	}
	return true
}

// spans sorts the rules by their pair, and keeps the files' order within one.
func (b *builder) spans(keys []uint64) {
	b.order = make([]int32, len(keys))
	for i := range b.order {
		b.order[i] = int32(i)
	}
	slices.SortStableFunc(b.order, func(i, j int32) int {
		if keys[i] < keys[j] {
			return -1
		} else if keys[i] > keys[j] {
			return 1
		}
		return 0
	})
	for start := 0; start < len(b.order); {
		key, end := keys[b.order[start]], start+1
		for end < len(b.order) && keys[b.order[end]] == key {
			end++
		}
		b.pairs.put(key, span(uint64(start), uint64(end-start)))
		start = end
	}
}

func (b *builder) resource(p *pattern) (uint32, bool) {
	if id, ok := b.resourceIDs[p.text]; ok {
		return id, true
	}
	id := uint32(len(b.resourceIDs))
	b.resourceIDs[p.text] = id
	return id, b.resources.add(b.seed, p, id)
}

// subject numbers the subject and puts it where requests look for it.
func (b *builder) subject(p *pattern) (uint32, bool) {
	if id, ok := b.subjects[p.text]; ok {
		return id, true
	}
	id := uint32(len(b.index.subjects))
	b.subjects[p.text] = id
	b.index.subjects = append(b.index.subjects, reach{})
	switch {
	case p.kind == kindAll:
		b.everybody = id
	case p.kind == kindUser && !p.literal():
		b.issuers[p.segs[0]] = id
	case p.kind == kindSPIFFE && !p.literal():
		return id, b.spiffe.add(b.seed, p, id)
	case p.kind != kindRole:
		b.holder(p).self = id
	}
	return id, true
}

// holder returns the entry of a literal subject.
func (b *builder) holder(p *pattern) *holder {
	switch p.kind {
	case kindUser:
		return entry(b.users, userKey{p.segs[0], p.segs[1]})
	case kindGroup:
		return entry(b.groups, p.segs[0])
	default:
		return entry(b.names, p.text)
	}
}

func entry[K comparable](m map[K]*holder, key K) *holder {
	if m[key] == nil {
		m[key] = &holder{self: none}
	}
	return m[key]
}

// member gives a member the roles that have rules.
func (b *builder) member(name string, of []string) {
	p, r := parseSubject(name)
	if r != nil || p.kind == kindRole {
		return
	}
	h := b.holder(&p)
	for _, role := range of {
		if id, ok := b.subjects[role]; ok {
			h.roles = append(h.roles, id)
		}
	}
}

// add puts p into the set, and reports false when another pattern has its hash.
func (s *patternSet) add(seed maphash.Seed, p *pattern, id uint32) bool {
	form := p.shape
	if p.literal() {
		form = shape{kind: p.kind} // literals of all lengths share one number
	}
	n := slices.Index(s.shapes, form)
	if n < 0 {
		n = len(s.shapes)
		s.shapes = append(s.shapes, form)
	}
	h := combine(uint64(n), uint64(len(p.segs)))
	for i, seg := range p.segs {
		if p.wild&(1<<i) == 0 {
			h = combine(h, maphash.String(seed, seg))
		}
	}
	if _, taken := s.byHash.get(h); taken {
		return false
	}
	s.byHash.put(h, uint64(id))
	for uint32(len(s.segs)) <= id { // numbers of literal subjects leave gaps here
		s.segs, s.bit = append(s.segs, nil), append(s.bit, 0)
	}
	s.segs[id], s.bit[id] = p.segs, uint8(n)
	return true
}

// combine mixes one more segment into a hash.
func combine(h, segment uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, segment^0xbf58476d1ce4e5b9)
	return hi ^ lo
}

// repeated warns of rules that say what an earlier one says.
func (x *index) repeated(rules []compiled) (found []Finding) {
	for at := 1; at < len(x.order) && len(found) < maxProblems; at++ {
		a, b := &rules[x.order[at-1]], &rules[x.order[at]]
		if a.Subject == b.Subject && a.Action == b.Action && a.Resource == b.Resource && a.Effect == b.Effect && a.Condition == b.Condition {
			found = append(found, b.finding(FindingRepeated, "", "repeats "+a.String()).withCure("delete one of the two"))
		}
	}
	return found
}
