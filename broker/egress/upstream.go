package egress

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/fault"
	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// upstream is a service with the connections to it.
type upstream struct {
	service *service.Service
	base    string // the escaped path of its URL
	*pools
	plan
	counters counters
}

// pools are the connections to one place. They outlive changes of everything but the place itself.
type pools struct {
	http *http.Transport
	grpc *http.Transport // HTTP/2 only, to a plain http upstream with prior knowledge, and patient
}

// upstreams are those of the current catalogue. Each change of the catalogue is one swap of a pointer.
type upstreams struct {
	now atomic.Pointer[generation]
	mu  sync.Mutex
}

type generation struct {
	catalog *service.Catalog
	byName  map[string]*upstream
}

func (u *upstreams) get(h *Handler, name string) (*upstream, error) {
	g, catalog := u.now.Load(), h.cfg.Services()
	if g == nil || g.catalog != catalog {
		g = u.follow(h, catalog)
	}
	up, ok := g.byName[name]
	switch {
	case !ok:
		return nil, fault.New(fault.NotFound, "SERVICE_UNKNOWN", "there is no such service")
	case up.service.Mode == service.ModeVend, up.service.Upstream.URL == nil:
		return nil, fault.New(fault.Unsupported, "SERVICE_NOT_PROXIED", "this service is not called through the broker: lease its credential, or take a token for it")
	case up.service.Mode == service.ModeToken && up.service.Token.Bind == service.BindSVID:
		return nil, fault.New(fault.Unsupported, "SERVICE_NOT_PROXIED", "this service takes tokens that are bound to the caller's certificate: call it directly, as the sidecar does")
	}
	return up, nil
}

// follow makes the upstreams of catalog, with the connections of those whose place is the same.
func (u *upstreams) follow(h *Handler, catalog *service.Catalog) *generation {
	u.mu.Lock()
	defer u.mu.Unlock()
	old := u.now.Load()
	if old != nil && old.catalog == catalog {
		return old
	}
	next := &generation{catalog: catalog, byName: map[string]*upstream{}}
	for _, s := range catalog.All() {
		up := &upstream{service: s, counters: h.cfg.Metrics.counters(s.Name)}
		if s.Upstream.URL != nil {
			up.base = s.Upstream.URL.EscapedPath()
		}
		if before := old.get(s.Name); samePlace(before, s) {
			up.pools = before.pools
		} else if s.Upstream.URL != nil {
			up.pools = h.newPools(s)
		}
		up.plan = h.newPlan(s, old.get(s.Name))
		next.byName[s.Name] = up
	}
	u.now.Store(next)
	old.closeUnless(next)
	return next
}

func (g *generation) get(name string) *upstream {
	if g == nil {
		return nil
	}
	return g.byName[name]
}

func samePlace(old *upstream, s *service.Service) bool {
	return old != nil && old.pools != nil && s.Upstream.URL != nil &&
		old.service.Upstream.Origin() == s.Upstream.Origin() && slices.Equal(old.service.Upstream.Dial, s.Upstream.Dial)
}

// closeUnless lets go of the idle connections that next has no use for. Those in use end when they are idle.
func (g *generation) closeUnless(next *generation) {
	if g == nil {
		return
	}
	for name, up := range g.byName {
		other := next.get(name)
		if other == nil {
			other = &upstream{}
		}
		if up.pools != other.pools {
			up.pools.close()
		}
		if up.clients != nil && up.clients != other.clients {
			up.clients.close()
		}
		if up.tokens != nil && up.tokens != other.tokens {
			up.tokens.Close()
		}
	}
}

// close lets go of the idle connections.
func (p *pools) close() {
	if p != nil {
		p.http.CloseIdleConnections()
		p.grpc.CloseIdleConnections()
	}
}

// close lets go of all idle connections.
func (u *upstreams) close() { u.now.Load().closeUnless(&generation{}) }

func (h *Handler) newPools(s *service.Service, client ...tls.Certificate) *pools {
	cfg := outbound.Config{
		Dial: s.Upstream.Dial, RootCAs: h.cfg.RootCAs, Certificates: client, DialTimeout: h.cfg.DialTimeout, HeaderTimeout: h.cfg.HeaderTimeout,
	}
	p := &pools{http: outbound.Transport(cfg)}
	// A server may keep the head of a gRPC stream until it has something to say. The caller's own deadline
	// travels in grpc-timeout.
	cfg.HeaderTimeout = 0
	p.grpc = outbound.Transport(cfg)
	p.grpc.IdleConnTimeout = 90 * time.Second // HTTP/2 announces that it closes
	p.grpc.Protocols = new(http.Protocols)
	p.grpc.Protocols.SetHTTP2(s.Upstream.URL.Scheme == "https")
	p.grpc.Protocols.SetUnencryptedHTTP2(s.Upstream.URL.Scheme == "http")
	return p
}

// newTokenTransport returns the way to a token endpoint.
func (h *Handler) newTokenTransport(dial []netip.Prefix) *http.Transport {
	t := outbound.Transport(outbound.Config{Dial: dial, RootCAs: h.cfg.RootCAs, DialTimeout: h.cfg.DialTimeout})
	t.MaxResponseHeaderBytes = 32 << 10
	return t
}
