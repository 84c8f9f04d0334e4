package service

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/intercom-broker/intercom/broker/strict"
)

const (
	// maxDuration is the longest life, and the longest staleness, that files may ask for: beyond a day, an
	// outage and a revocation look the same.
	maxDuration = 24 * time.Hour
	minTTL      = 10 * time.Second
)

// refuse returns an error about the service as a whole.
func (s *Service) refuse(format string, args ...any) *strict.Error {
	return s.RefuseAt(s.Pos, format, args...)
}

// RefuseAt returns an error about the service at a place that was read from its file: the Pos of one of its
// parts.
func (s *Service) RefuseAt(pos, format string, args ...any) *strict.Error {
	e := &strict.Error{Where: fmt.Sprintf("service %q", s.Name), Message: fmt.Sprintf(format, args...)}
	// pos was written by us: file:line:column, and the file's name may hold colons too.
	at := strings.LastIndexByte(pos, ':')
	line := strings.LastIndexByte(pos[:at], ':')
	e.File = pos[:line]
	_, _ = fmt.Sscanf(pos[line:], ":%d:%d", &e.Line, &e.Column)
	return e
}

// checkName refuses what is no DNS label, and the names that mean something else at the sidecar's door.
func checkName(key *yaml.Node) error {
	switch name := key.Value; {
	case !isLabel(name):
		return strict.At(key, "service %.64q: want a DNS label: up to 63 lower-case letters, digits and hyphens", name)
	case name == "localhost", name == "v1":
		return strict.At(key, "service %q: the name is taken: the sidecar's own door answers to it", name)
	}
	return nil
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !strings.ContainsFunc(s, notLabel)
}

func notLabel(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}

// check holds the rules about the parts of a service together.
func (e *entry) check(n *yaml.Node) error {
	modes := 0
	for _, given := range []bool{e.Token != nil, e.Inject != nil, e.Vend != nil} {
		if given {
			modes++
		}
	}
	switch {
	case modes > 1:
		return strict.At(n, "want one of token, inject and vend, got %d of them", modes)
	case e.Inject != nil:
		return e.checkInject(n)
	case e.Vend != nil:
		return e.checkVend(n)
	default:
		return e.checkToken(n)
	}
}

// bind returns the service's setting. The one-line form of a plain http upstream implies none.
func (e *entry) bind() Bind {
	switch {
	case e.Token != nil && e.Token.Bind != "":
		return e.Token.Bind
	case e.Upstream.URL.Scheme == "https":
		return BindSVID
	default:
		return BindNone
	}
}

func (e *entry) checkToken(n *yaml.Node) error {
	t := e.Token
	if t == nil {
		t = &token{}
	}
	at := strict.Field(n, "token")
	written, plain := t.Bind != "", e.Upstream.URL.Scheme == "http"
	switch {
	case e.Upstream.URL.IsZero() && e.Token == nil:
		return strict.At(n, "want an upstream, or one of token, inject and vend")
	case !written && plain && !e.line:
		return strict.At(at, "bind must be written out for a plain http upstream, which cannot see the caller's certificate: token: { bind: none }")
	case !written && e.Upstream.URL.IsZero():
		return strict.At(at, "bind must be written out without an upstream: token: { bind: none }, since the application itself asks for the token")
	case t.Bind == BindSVID && e.Upstream.URL.Scheme != "https":
		return strict.At(strict.Field(at, "bind"), "bind: svid wants an https upstream, which sees the caller's certificate")
	}
	return errors.Join(
		t.Bind.check(strict.Field(at, "bind")),
		checkAudience(strict.Field(at, "audience"), t.Audience, "audience"),
		checkScope(strict.Field(at, "scope"), t.Scope),
		checkDuration(strict.Field(at, "stale"), "stale", t.Stale, 0),
	)
}

func (b Bind) check(n *yaml.Node) error {
	switch b {
	case "", BindSVID, BindNone:
		return nil
	}
	return strict.At(n, "bind: want svid or none, got %.64q", string(b))
}

func (e *entry) checkVend(n *yaml.Node) error {
	at, v := strict.Field(n, "vend"), e.Vend
	errs := []error{
		checkCredential(strict.Field(at, "credential"), v.Credential),
		checkDuration(strict.Field(at, "ttl"), "ttl", v.TTL, minTTL),
		checkDuration(strict.Field(at, "stale"), "stale", v.Stale, 0),
	}
	if !e.Upstream.URL.IsZero() {
		errs = append(errs, strict.At(strict.Field(n, "upstream"), "upstream: leave it out: the application connects by itself with what is vended"))
	}
	return errors.Join(errs...)
}

func checkDuration(n *yaml.Node, key string, d *strict.Duration, least time.Duration) error {
	if d != nil && (d.Std() < least || d.Std() > maxDuration) {
		return strict.At(n, "%s: want between %s and %s", key, least, maxDuration)
	}
	return nil
}

func checkDial(n *yaml.Node, networks []netip.Prefix) error {
	var errs []error
	for i, p := range networks {
		if err := checkNetwork(p); err != "" {
			errs = append(errs, strict.At(n.Content[i], "dial[%d]: %s", i, err))
		}
	}
	return errors.Join(errs...)
}

// checkNetwork refuses what opens more than it seems to.
func checkNetwork(p netip.Prefix) string {
	switch {
	case p.Bits() == 0:
		return "opens every network: name the ones that are meant"
	case p.Addr().Is4In6():
		return "write an IPv4 network as one"
	case p.Masked() != p:
		return "has bits beyond its length: write " + p.Masked().String()
	}
	return ""
}

// checkCredential holds the grammar of credential names.
func checkCredential(n *yaml.Node, name string) error {
	const want = "credential: want a name such as crm/login: segments of lower-case letters, digits, dots, hyphens and underscores"
	if len(name) > 255 {
		return strict.At(n, want)
	}
	for segment := range strings.SplitSeq(name, "/") {
		bad := strings.ContainsFunc(segment, func(r rune) bool { return notLabel(r) && r != '.' && r != '_' })
		if bad || segment == "" || segment == "." || segment == ".." {
			return strict.At(n, want)
		}
	}
	return nil
}

// checkAudience allows names, URLs and SPIFFE IDs, and nothing that means something in a policy.
func checkAudience(n *yaml.Node, audience, key string) error {
	const more = "._:/-~@+"
	bad := strings.ContainsFunc(audience, func(r rune) bool {
		return (r < 'A' || r > 'Z') && notLabel(r) && !strings.ContainsRune(more, r)
	})
	if bad || len(audience) > 255 {
		return strict.At(n, "%s: want up to 255 letters, digits and any of %s", key, more)
	}
	return nil
}

// checkScope holds RFC 6749, section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
func checkScope(n *yaml.Node, scope []string) error {
	seen := map[string]bool{}
	for i, s := range scope {
		bad := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r > '~' })
		switch {
		case s == "" || bad:
			return strict.At(n.Content[i], "scope: want printable words without space, quote or backslash")
		case seen[s]:
			return strict.At(n.Content[i], "scope: %.64q stands twice", s)
		}
		seen[s] = true
	}
	return nil
}
