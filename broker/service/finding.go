package service

import (
	"fmt"
	"net/netip"
	"strings"
)

// Finding is something that holds, and that its author may not have meant.
type Finding struct {
	// Pos is the place: file:line:column; empty when the finding is about all files.
	Pos string
	// Service is the service's name; empty when the finding is about all files.
	Service string
	Message string
}

// String returns the finding as `intercom check` prints it.
func (f Finding) String() string {
	if f.Service == "" {
		return f.Message
	}
	return fmt.Sprintf("%s: service %q: %s", f.Pos, f.Service, f.Message)
}

// Check looks for what is allowed and still worth a word.
func Check(c *Catalog) (found []Finding) {
	if len(c.all) == 0 {
		return []Finding{{Message: "no services: nothing can be reached"}}
	}
	for _, s := range c.all {
		for _, message := range []string{s.findBind(), s.findQuery(), s.findDial(), s.findTokenDial()} {
			if message != "" {
				found = append(found, Finding{Pos: s.Pos, Service: s.Name, Message: message})
			}
		}
	}
	return found
}

func (s *Service) findBind() string {
	if u := s.Upstream.URL; u == nil || u.Scheme != "http" {
		return ""
	}
	switch {
	case s.Mode == ModeInject:
		return "the upstream is plain http: the injected credential travels in the clear"
	case s.line:
		return "the one-line form of a plain http upstream implies bind: none: whoever gets hold of a token can use it"
	}
	return ""
}

func (s *Service) findQuery() string {
	if s.Inject == nil || s.Inject.Query == nil {
		return ""
	}
	return "the credential travels in the query, which ends in the logs of the service and of all that stands before it: prefer a header"
}

// findDial says where the dial guard will refuse, as far as the file tells: names are looked up later.
func (s *Service) findDial() string {
	if s.Upstream.URL == nil {
		return ""
	}
	return shut(s.Upstream.URL.Hostname(), s.Upstream.Dial)
}

// findTokenDial is findDial for the way to a token.
func (s *Service) findTokenDial() string {
	if s.Inject == nil || s.Inject.OAuth2 == nil {
		return ""
	}
	if why := shut(s.Inject.OAuth2.TokenURL.Hostname(), s.Inject.OAuth2.Dial); why != "" {
		return "oauth2.token_url is " + why
	}
	return ""
}

func shut(host string, dial []netip.Prefix) string {
	addr, ok := literal(host)
	if !ok || !closed(addr) {
		return ""
	}
	for _, p := range dial {
		if p.Contains(addr) {
			return ""
		}
	}
	return fmt.Sprintf("unreachable: the dial guard refuses %s unless dial opens it, with dial: [%s]", addr, netip.PrefixFrom(addr, addr.BitLen()))
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
