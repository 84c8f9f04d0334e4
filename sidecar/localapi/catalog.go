package localapi

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/strict"
	intercomv1 "github.com/intercom-broker/intercom/proto/intercom/v1"
)

// catalog is the broker's last list of services. It never changes.
type catalog struct {
	revision    string
	routes      map[string]*route
	audiences   map[string]*route // the token services
	credentials map[string]*route // the vend services
}

// services keeps the catalog, and remembers since when the broker is silent.
type services struct {
	api    *API
	last   atomic.Pointer[catalog]
	silent atomic.Int64 // since then, Unix nanoseconds; zero while the stream is open
}

// take puts a new list in place. Services that did not change keep their route, and with it their
// connections.
func (s *services) take(list *intercomv1.WatchServicesResponse) {
	former := s.last.Load()
	next := &catalog{
		revision: list.GetRevision(), routes: map[string]*route{},
		audiences: map[string]*route{}, credentials: map[string]*route{},
	}
	for _, spec := range list.GetServices() {
		rt := former.keep(spec)
		if rt == nil {
			rt = s.api.newRoute(spec)
		}
		next.add(rt)
	}
	s.last.Store(next)
	s.silent.Store(0)
	former.leave(next)
}

func (c *catalog) keep(spec *intercomv1.Service) *route {
	if c == nil {
		return nil
	}
	if rt := c.routes[spec.GetName()]; rt != nil && proto.Equal(rt.spec, spec) {
		return rt
	}
	return nil
}

func (c *catalog) add(rt *route) {
	c.routes[rt.name()] = rt
	switch rt.spec.GetMode() {
	case intercomv1.Mode_MODE_TOKEN:
		c.audiences[rt.spec.GetAudience()] = rt
	case intercomv1.Mode_MODE_VEND:
		c.credentials[rt.spec.GetCredential()] = rt
	}
}

// leave lets the connections of routes go that are not in next. Requests under way are finished.
func (c *catalog) leave(next *catalog) {
	if c == nil {
		return
	}
	for name, rt := range c.routes {
		if next.routes[name] != rt {
			rt.close()
		}
	}
}

// lost notes that the broker is silent.
func (s *services) lost(now time.Time) { s.silent.CompareAndSwap(0, now.UnixNano()) }

// current returns the last list.
func (s *services) current() (*catalog, error) {
	if c := s.last.Load(); c != nil {
		return c, nil
	}
	return nil, fault.New(fault.Unavailable, "SERVICES_UNKNOWN",
		"the sidecar has no list of services yet, because no credential broker has answered")
}

// find returns the route to a service, unless what is known of it is older than its budget.
func (s *services) find(name string, now time.Time) (*route, error) {
	c, err := s.current()
	if err != nil {
		return nil, err
	}
	rt := c.routes[name]
	if rt == nil {
		return nil, c.unknown(name)
	}
	if since := s.silent.Load(); since != 0 {
		if budget := s.api.budget(rt); now.Sub(time.Unix(0, since)) > budget {
			return nil, fault.Newf(fault.Unavailable, "SERVICES_STALE",
				"no credential broker has answered for longer than %v, the staleness budget of service %q", budget, name)
		}
	}
	return rt, nil
}

// unknown says what may have been meant.
func (c *catalog) unknown(name string) error {
	known := slices.Sorted(maps.Keys(c.routes))
	switch near := strict.Suggest(name, known); {
	case near != "":
		return fault.Newf(fault.NotFound, "SERVICE_UNKNOWN", "no service is called %q; did you mean %q?", clip(name), near)
	case len(known) > 0 && len(known) <= 12:
		return fault.Newf(fault.NotFound, "SERVICE_UNKNOWN", "no service is called %q; there are %s", clip(name), strings.Join(known, ", "))
	default:
		return fault.Newf(fault.NotFound, "SERVICE_UNKNOWN", "no service is called %q: services stand in the broker's service files", clip(name))
	}
}

// clip shortens what the caller sent.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
