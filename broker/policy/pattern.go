package policy

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	spiffeScheme = "spiffe://"
	userPrefix   = "user:"
	groupPrefix  = "group:"
	rolePrefix   = "role:"

	one      = "*"  // exactly one whole segment
	rest     = "**" // at the end: one segment or more
	anything = rest // alone: every subject, or every resource; in deny rules only

	maxSegments = 32
	maxField    = 2048
)

// kind is what a subject's pattern names.
type kind uint8

const (
	kindPath kind = iota // a resource
	kindSPIFFE
	kindUser
	kindGroup
	kindRole
	kindAll
)

// shape is a pattern without its literals: where its wildcards stand.
type shape struct {
	kind     kind
	segments int
	wild     uint32 // bit i: segment i is `*`
	tail     bool   // ends in `/**`
}

func (s shape) literal() bool { return s.wild == 0 && !s.tail }

// pattern is a parsed subject or resource of a rule.
type pattern struct {
	shape
	text string
	// segs are the segments without the tail. The first one of a SPIFFE ID is the trust domain. A user has
	// issuer and subject, a group and a role have their name.
	segs []string
}

// refusal is why a field is refused, and what to write instead.
type refusal struct{ message, cure string }

func refuse(cure, format string, args ...any) *refusal {
	return &refusal{message: fmt.Sprintf(format, args...), cure: cure}
}

const wildcardCure = "`*` stands for one whole segment, `/**` at the end for one or more, and there are no others"

// parseResource parses the resource of a rule.
func parseResource(text string) (pattern, *refusal) {
	p := pattern{shape: shape{kind: kindPath}, text: text}
	if r := checkField("resource", text); r != nil {
		return p, r
	}
	if text == anything {
		p.tail = true
		return p, nil
	}
	if r := p.split(text); r != nil {
		return p, r
	}
	if !isType(p.segs) {
		return p, refuse("write credential/…, audience/…, service/…, pdp or admin/…", "resource %q does not begin with a literal type", text)
	}
	return p, nil
}

// isType reports whether the first segment is a plain word: a SPIFFE ID or a URL in the resource's column is
// in the wrong one, and would never match.
func isType(segs []string) bool {
	return len(segs) > 0 && segs[0] != "" && strings.IndexFunc(segs[0], func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) < 0
}

// parseSubject parses the subject of a rule.
func parseSubject(text string) (pattern, *refusal) {
	p := pattern{text: text}
	if r := checkField("subject", text); r != nil {
		return p, r
	}
	switch {
	case text == anything:
		p.kind, p.tail = kindAll, true
		return p, nil
	case strings.HasPrefix(text, spiffeScheme):
		p.kind = kindSPIFFE
		return p, p.spiffe(text[len(spiffeScheme):])
	case strings.HasPrefix(text, userPrefix):
		p.kind = kindUser
		return p, p.user(text[len(userPrefix):])
	case strings.HasPrefix(text, groupPrefix):
		p.kind = kindGroup
		return p, p.name(text[len(groupPrefix):])
	case strings.HasPrefix(text, rolePrefix):
		p.kind = kindRole
		return p, p.name(text[len(rolePrefix):])
	}
	return p, refuse("write spiffe://DOMAIN/PATH, user:ISSUER|SUB, group:NAME or role:NAME", "unknown form of subject %q", text)
}

func checkField(what, text string) *refusal {
	if text == "" {
		return refuse("", "empty %s", what)
	}
	if len(text) > maxField {
		return refuse("", "%s of %d bytes; at most %d are read", what, len(text), maxField)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return refuse("", "%s %q has a control character", what, text)
		}
	}
	return nil
}

// split reads segments and wildcards.
func (p *pattern) split(text string) *refusal {
	p.segs = strings.Split(text, "/")
	if last := len(p.segs) - 1; p.segs[last] == rest {
		p.tail, p.segs = true, p.segs[:last]
	}
	if len(p.segs) > maxSegments {
		return refuse("end it in /** earlier", "pattern %q has more than %d segments", p.text, maxSegments)
	}
	for i, seg := range p.segs {
		if seg == one {
			p.wild |= 1 << i
		} else if strings.ContainsAny(seg, "*?[]{}") {
			return refuse(wildcardCure, "wildcard %q in %q", seg, p.text)
		}
	}
	p.segments = len(p.segs)
	return nil
}

func (p *pattern) spiffe(text string) *refusal {
	if r := p.split(text); r != nil {
		return r
	}
	if len(p.segs) == 0 || p.wild&1 != 0 {
		return refuse("name the trust domain and write a rule for each", "wildcard in the trust domain of %q", p.text)
	}
	literal := make([]string, 0, len(p.segs)+1)
	for _, seg := range p.segs {
		literal = append(literal, strings.ReplaceAll(seg, one, "x"))
	}
	if p.tail {
		literal = append(literal, "x")
	}
	if _, err := spiffeid.FromString(spiffeScheme + strings.Join(literal, "/")); err != nil {
		return refuse("", "subject %q is no SPIFFE ID: %v", p.text, err)
	}
	return nil
}

// user reads ISSUER|SUB. The issuer is as literal as a trust domain; `*` is every subject of it.
func (p *pattern) user(text string) *refusal {
	issuer, sub, ok := strings.Cut(text, "|")
	if !ok || issuer == "" || sub == "" {
		return refuse("write user:ISSUER|SUB, or user:ISSUER|* for every user of the issuer", "subject %q lacks an issuer or a subject", p.text)
	}
	if strings.Contains(issuer, one) || (sub != one && strings.Contains(sub, one)) {
		return refuse("the issuer is literal, and `*` stands for the whole subject", "wildcard in %q", p.text)
	}
	p.segs, p.segments = []string{issuer, sub}, 2
	if sub == one {
		p.wild = 1 << 1
	}
	return nil
}

func (p *pattern) name(text string) *refusal {
	if text == "" {
		return refuse("", "subject %q lacks a name", p.text)
	}
	if strings.Contains(text, one) {
		return refuse("name each one", "wildcard in %q: groups and roles are literal", p.text)
	}
	p.segs, p.segments = []string{text}, 1
	return nil
}

// subjectMatch and resourceMatch are what the model calls. They take the pattern as it stands in the
// rule, need no preparation, and are the reference that the index is held against.
//
// Casbin's own keyMatch functions are no substitute: keyMatch cuts at the first `*`, and in keyMatch2 a
// `*` crosses segments and a dot in the trust domain is a regular expression's.

func subjectMatch(subject, pattern string) bool {
	if pattern == anything {
		return true
	}
	s, ok1 := strings.CutPrefix(subject, spiffeScheme)
	p, ok2 := strings.CutPrefix(pattern, spiffeScheme)
	if ok1 && ok2 {
		return resourceMatch(s, p)
	}
	if strings.HasPrefix(pattern, userPrefix) && strings.HasSuffix(pattern, "|"+one) {
		prefix := pattern[:len(pattern)-len(one)]
		return len(subject) > len(prefix) && strings.HasPrefix(subject, prefix)
	}
	return subject == pattern
}

func resourceMatch(resource, pattern string) bool {
	for {
		r, rtail, rmore := strings.Cut(resource, "/")
		p, ptail, pmore := strings.Cut(pattern, "/")
		if p == rest && !pmore {
			return true // whatever follows the slash, even nothing: a/** is a/ and a/b, not a
		}
		if p != r && (p != one || r == "") || pmore != rmore {
			return false
		}
		if !pmore {
			return true
		}
		resource, pattern = rtail, ptail
	}
}
