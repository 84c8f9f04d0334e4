package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom-broker/intercom/broker/outbound"
	"github.com/intercom-broker/intercom/broker/service"
)

// Config configures a Set.
type Config struct {
	// RootCAs are who may vouch for https services; nil means the system's. There is no way to vouch for
	// nobody.
	RootCAs *x509.CertPool
	// DialTimeout bounds connecting to a target, and then TLS; 0 means outbound.DefaultDialTimeout.
	DialTimeout time.Duration
	// HeaderTimeout bounds the wait for a response head, after the request was sent, where a service file does
	// not say; 0 means 60 s.
	HeaderTimeout time.Duration
	// IdleTimeout bounds a service's silence in the middle of an answer, event streams included, but not on an
	// upgraded connection; 0 means that nothing does.
	IdleTimeout time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger is told of targets that are left alone; nil means nobody is.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() Config {
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, outbound.DefaultDialTimeout)
	cfg.HeaderTimeout = cmp.Or(cfg.HeaderTimeout, time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Set holds the connections to all services. It is safe for concurrent use.
type Set struct {
	cfg Config
	now atomic.Pointer[generation]
	mu  sync.Mutex // held to make the next generation
}

// generation is the pools of one catalogue, and of services that are no longer in it and still asked for: a
// request keeps the service that its route had. Each change is one swap of a pointer.
type generation struct {
	pools map[*service.Service]*pool
	names map[string]*pool // the newest of each name
}

// New returns a Set without connections.
func New(cfg Config) *Set {
	s := &Set{cfg: cfg.withDefaults()}
	s.now.Store(&generation{})
	return s
}

// Run follows the service files until ctx ends, and lets go of all idle connections then. It returns nil.
func (s *Set) Run(ctx context.Context, files *service.Watcher) error {
	defer s.Follow(&service.Catalog{})
	for {
		changed := files.Changed()
		s.Follow(files.Current())
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Follow keeps the connections to the services of c that are where they were, and lets go of all others. Those
// in use end when they are idle.
func (s *Set) Follow(c *service.Catalog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := &generation{pools: map[*service.Service]*pool{}, names: map[string]*pool{}}
	for _, svc := range c.All() {
		if svc.Browser != nil && svc.Upstream.URL != nil {
			next.add(svc, s.poolOf(old, svc))
		}
	}
	s.now.Store(next)
	kept := map[*pool]bool{}
	for _, p := range next.pools {
		kept[p] = true
	}
	for _, p := range old.pools {
		if !kept[p] {
			p.closeIdle()
		}
	}
}

func (g *generation) add(svc *service.Service, p *pool) {
	g.pools[svc], g.names[svc.Name] = p, p
}

// poolOf returns the pool that old has for svc's place, or else a new one.
func (s *Set) poolOf(old *generation, svc *service.Service) *pool {
	if p := old.names[svc.Name]; p != nil && samePlace(p.service, svc) {
		return p
	}
	p := &pool{service: svc, set: s}
	p.transport = p.newTransport(nil)
	for _, u := range svc.Upstream.Targets {
		p.targets = append(p.targets, &target{url: u})
	}
	return p
}

func samePlace(a, b *service.Service) bool {
	return slices.EqualFunc(a.Upstream.Targets, b.Upstream.Targets, func(x, y *url.URL) bool { return service.Origin(x) == service.Origin(y) }) &&
		slices.Equal(a.Upstream.Dial, b.Upstream.Dial) && passOf(a).Timeout == passOf(b).Timeout
}

// passOf returns what passes to and from a service.
func passOf(svc *service.Service) service.Pass {
	if svc.Browser == nil {
		return service.Pass{}
	}
	return svc.Browser.Pass
}

// get returns the pool of a service. One that Follow did not bring gets its own the first time.
func (s *Set) get(svc *service.Service) *pool {
	if p := s.now.Load().pools[svc]; p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	if p := old.pools[svc]; p != nil {
		return p
	}
	next := &generation{pools: map[*service.Service]*pool{}, names: map[string]*pool{}}
	maps.Copy(next.pools, old.pools)
	maps.Copy(next.names, old.names)
	next.add(svc, s.poolOf(old, svc))
	s.now.Store(next)
	return next.pools[svc]
}

// RoundTrip sends r to a target of the service, and shows it the certificate if there is one: scheme and host of its
// URL are the target's, and so is Host; it may change them in r. The path, base path included, is the caller's. An
// error is a fault with one of package outbound's reasons.
func (s *Set) RoundTrip(svc *service.Service, shown *tls.Certificate, r *http.Request) (*http.Response, error) {
	res, err := s.get(svc).roundTrip(shown, r)
	switch {
	case err == nil:
		return res, nil
	case errors.Is(r.Context().Err(), context.Canceled):
		return nil, outbound.Gone()
	}
	return nil, outbound.Failure(err)
}
