package service

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/intercom-broker/intercom/broker/strict"
)

// Catalog is all services of a set of service files. It never changes. The zero Catalog is empty.
type Catalog struct {
	revision   string
	all        []*Service
	byName     map[string]*Service
	byAudience map[string]*Service
	byOrigin   map[string][]*Service
}

// Revision names the set of files that c was made from.
func (c *Catalog) Revision() string { return c.revision }

// All returns the services by name, in order.
func (c *Catalog) All() []*Service { return slices.Clone(c.all) }

// Get returns the service of that name.
func (c *Catalog) Get(name string) (*Service, bool) {
	s, ok := c.byName[name]
	return s, ok
}

// ByAudience returns the token service of that audience.
func (c *Catalog) ByAudience(audience string) (*Service, bool) {
	s, ok := c.byAudience[audience]
	return s, ok
}

// ByOrigin returns the token services of which one target has that [Origin], by name.
func (c *Catalog) ByOrigin(origin string) []*Service { return slices.Clone(c.byOrigin[origin]) }

// Vending returns the services for which the credential is handed out, by name: to their application, or to the
// gateway, which puts it into the requests of browsers.
func (c *Catalog) Vending(credential string) (found []*Service) {
	for _, s := range c.all {
		if v := s.Vends(); v != nil && v.Credential == credential {
			found = append(found, s)
		}
	}
	return found
}

// Vends returns what is handed out for the service, and on which terms; nil when nothing is.
func (s *Service) Vends() *Vend {
	if s.Vend == nil && s.Browser != nil && s.Browser.User.Kind == UserBasic {
		return &Vend{Credential: s.Browser.User.Credential, TTL: DefaultTTL}
	}
	return s.Vend
}

// Parse makes a Catalog of service files, which are given by name. The error has everything that was
// refused in any of them, as [strict.Errors].
func Parse(files map[string][]byte) (*Catalog, error) {
	var errs strict.Errors
	var all []*Service
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		// Lengths keep two sets of files apart that join to the same bytes.
		fmt.Fprintf(sum, "%q %d\n", name, len(files[name]))
		sum.Write(files[name])
		services, err := parseFile(name, files[name])
		if refused, ok := errors.AsType[strict.Errors](err); ok {
			errs = append(errs, refused...)
		}
		all = append(all, services...)
	}
	c := &Catalog{revision: hex.EncodeToString(sum.Sum(nil)[:8])}
	errs = append(errs, c.index(all)...)
	errs = append(errs, conflicts(c.all)...)
	if len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// index fills c, and refuses names and audiences that stand twice.
func (c *Catalog) index(all []*Service) (errs strict.Errors) {
	slices.SortStableFunc(all, func(a, b *Service) int { return cmp.Compare(a.Name, b.Name) })
	c.all, c.byName = all, make(map[string]*Service, len(all))
	c.byAudience, c.byOrigin = map[string]*Service{}, map[string][]*Service{}
	for _, s := range all {
		if first, ok := c.byName[s.Name]; ok {
			errs = append(errs, s.refuse("stands twice: first at %s, owned by %s", first.Pos, first.Owner))
			continue
		}
		c.byName[s.Name] = s
		if s.Token == nil {
			continue
		}
		if first, ok := c.byAudience[s.Token.Audience]; ok {
			errs = append(errs, s.refuse("audience %q is that of service %q at %s: a token is minted for one service", s.Token.Audience, first.Name, first.Pos))
			continue
		}
		c.byAudience[s.Token.Audience] = s
		for _, target := range s.Upstream.Targets {
			c.byOrigin[Origin(target)] = append(c.byOrigin[Origin(target)], s)
		}
	}
	return errs
}

// conflicts refuses matches of which neither is more specific than the other: which of the two services a
// browser reaches must not depend on the order of files.
func conflicts(all []*Service) (errs strict.Errors) {
	type claim struct{ host, path, method string }
	type owner struct {
		service *Service
		pos     string
	}
	taken := map[claim]owner{}
	for _, s := range all {
		if s.Browser == nil {
			continue
		}
		for _, m := range s.Browser.Matches {
			methods := m.Methods
			if len(methods) == 0 {
				methods = []string{""}
			}
			for _, method := range methods {
				at := claim{m.Host, m.Path, method}
				if first, ok := taken[at]; ok && first.pos != m.Pos {
					errs = append(errs, s.RefuseAt(m.Pos, "match %s is that of service %q at %s: neither is more specific", m.Path, first.service.Name, first.pos))
					break
				}
				taken[at] = owner{s, m.Pos}
			}
		}
	}
	return errs
}
