package service

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The sorts of findings.
const (
	FindingNone       = "service-none"        // there are no services at all
	FindingClear      = "service-clear"       // a credential travels in the clear
	FindingBearer     = "service-bearer"      // a bearer token by the one-line form
	FindingQuery      = "service-query"       // a credential travels in the query
	FindingDial       = "service-dial"        // the dial guard refuses the upstream
	FindingOrigin     = "service-origin"      // its origin does not name it alone
	FindingDuplicate  = "service-duplicate"   // says what another service says
	FindingVendTwice  = "service-vend-twice"  // a credential with two sets of terms
	FindingOwnerBlank = "service-owner-blank" // nobody answers for it
)

// Finding is something that holds, and that its author may not have meant.
type Finding struct {
	// ID is the sort of finding: one of the Finding constants.
	ID string
	// Pos is the place: file:line:column; empty when the finding is about all files.
	Pos string
	// Service is the service's name; empty when the finding is about all files.
	Service string
	Message string
	// Cure is what to do about it; may be empty.
	Cure string
}

// String returns the finding as `intercom check` prints it.
func (f Finding) String() string {
	if f.Service == "" {
		return f.Message
	}
	return fmt.Sprintf("%s: service %q: %s", f.Pos, f.Service, f.Message)
}

func (s *Service) finding(id, cure, format string, args ...any) []Finding {
	return []Finding{{ID: id, Pos: s.Pos, Service: s.Name, Message: fmt.Sprintf(format, args...), Cure: cure}}
}

// Check looks for what is allowed and still worth a word.
func Check(c *Catalog) (found []Finding) {
	if len(c.all) == 0 {
		return []Finding{{ID: FindingNone, Message: "no services: nothing can be reached"}}
	}
	for _, s := range c.all {
		found = slices.Concat(found, s.findOwner(), s.findBind(), s.findQuery(), s.findDial(), s.findTokenDial(), s.findOrigin(c), s.findTwin(c), s.findTerms(c))
	}
	return found
}

func (s *Service) findOwner() []Finding {
	if strings.TrimSpace(s.Owner) == "" {
		return s.finding(FindingOwnerBlank, "name a team", "owner is blank: nobody answers for it")
	}
	return nil
}

func (s *Service) findBind() []Finding {
	if u := s.Upstream.URL; u == nil || u.Scheme != "http" {
		return nil
	}
	switch {
	case s.Mode == ModeInject:
		return s.finding(FindingClear, "let the upstream speak https", "the upstream is plain http: the injected credential travels in the clear")
	case s.line:
		return s.finding(FindingBearer, "write it out as token: { bind: none }, or let the upstream speak https",
			"the one-line form of a plain http upstream implies bind: none: whoever gets hold of a token can use it")
	}
	return nil
}

func (s *Service) findQuery() []Finding {
	if s.Inject == nil || s.Inject.Query == nil {
		return nil
	}
	return s.finding(FindingQuery, "prefer a header",
		"the credential travels in the query, which ends in the logs of the service and of all that stands before it")
}

// findDial says where the dial guard will refuse, as far as the file tells: names are looked up later.
func (s *Service) findDial() []Finding {
	for _, t := range s.Upstream.Targets {
		if found := s.shut("", t.Hostname(), s.Upstream.Dial); found != nil {
			return found
		}
	}
	return nil
}

// findTokenDial is findDial for the way to a token.
func (s *Service) findTokenDial() []Finding {
	if s.Inject == nil || s.Inject.OAuth2 == nil {
		return nil
	}
	return s.shut("oauth2.token_url is ", s.Inject.OAuth2.TokenURL.Hostname(), s.Inject.OAuth2.Dial)
}

func (s *Service) shut(what, host string, dial []netip.Prefix) []Finding {
	addr, ok := literal(host)
	if !ok || !closed(addr) || slices.ContainsFunc(dial, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return nil
	}
	cure := fmt.Sprintf("dial: [%s]", netip.PrefixFrom(addr, addr.BitLen()))
	return s.finding(FindingDial, cure, "%sunreachable: the dial guard refuses %s unless dial opens it", what, addr)
}

// findOrigin names the first of those that share the origin: RFC 8693's `resource` says an origin and no
// more, and of several services nobody knows which one is meant.
func (s *Service) findOrigin(c *Catalog) []Finding {
	if s.Token == nil {
		return nil
	}
	for _, other := range c.byOrigin[s.Upstream.Origin()] {
		if other != s {
			return s.finding(FindingOrigin, "ask for it by audience", "unreachable by resource: its origin %s is also that of service %q at %s",
				s.Upstream.Origin(), other.Name, other.Pos)
		}
	}
	return nil
}

// findTwin speaks of the later one of two services that differ in nothing but their name.
func (s *Service) findTwin(c *Catalog) []Finding {
	if s.Upstream.URL == nil || s.Mode != ModeInject {
		return nil
	}
	for _, other := range c.all {
		if other == s {
			return nil
		}
		if other.Mode == ModeInject && other.Upstream.URL != nil && *other.Upstream.URL == *s.Upstream.URL &&
			len(s.Inject.Credentials()) > 0 && slices.Equal(other.Inject.Credentials(), s.Inject.Credentials()) {
			return s.finding(FindingDuplicate, "delete one of the two, unless rules should tell them apart",
				"has upstream and credentials of service %q at %s", other.Name, other.Pos)
		}
	}
	return nil
}

// findTerms says that the strictest terms hold: a lease does not say for which service it is.
func (s *Service) findTerms(c *Catalog) []Finding {
	vend := s.Vends()
	if vend == nil {
		return nil
	}
	for _, other := range c.Vending(vend.Credential) {
		if other != s && (other.Vends().TTL < vend.TTL || other.Stale < s.Stale) {
			return s.finding(FindingVendTwice, "give both the same terms",
				"service %q at %s vends %s too, with a shorter ttl or stale, which hold for both", other.Name, other.Pos, vend.Credential)
		}
	}
	return nil
}

func literal(host string) (netip.Addr, bool) {
	if host = strings.ToLower(host); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	addr, err := netip.ParseAddr(host)
	return addr.Unmap().WithZone(""), err == nil
}

// closed reports the ranges that only `dial` opens.
func closed(a netip.Addr) bool {
	return a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast()
}
