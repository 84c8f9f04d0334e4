package openid

import (
	"crypto/rand"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/dpop"
)

// The endpoints, below the issuer.
const (
	PathDiscovery  = "/.well-known/openid-configuration"
	PathJWKS       = "/jwks"
	PathPAR        = "/par"
	PathAuthorize  = "/authorize"
	PathLogin      = "/login"
	PathToken      = "/token"
	PathLogout     = "/logout"
	PathRevoke     = "/revoke"
	PathIntrospect = "/introspect"
	PathUserinfo   = "/userinfo"
)

// Provider is an OpenID provider. It is an http.Handler and safe for concurrent use.
type Provider struct {
	cfg    Config
	issuer *url.URL
	mux    *http.ServeMux
	layout *template.Template

	mu       sync.Mutex
	clients  map[string]*Client
	remote   map[string]*remoteKeys // by client
	disabled map[string]bool
	keys     []*key // the first signs
	swept    time.Time

	sessions map[string]*session // by sid
	cookies  map[string]*session // by the cookie's value
	waiting  map[string]*request // pushed, or on the login page
	codes    map[string]*code
	refresh  map[string]*refreshToken
	access   map[string]*issued // by jti
	seen     map[string]time.Time
}

// New returns a Provider with a new key and no sessions.
func New(cfg Config) (*Provider, error) {
	cfg = cfg.withDefaults()
	issuer, err := cfg.check()
	if err != nil {
		return nil, err
	}
	p := &Provider{
		cfg: cfg, issuer: issuer, mux: http.NewServeMux(), layout: parseLayout(),
		clients: map[string]*Client{}, remote: map[string]*remoteKeys{}, disabled: map[string]bool{},
		sessions: map[string]*session{}, cookies: map[string]*session{}, waiting: map[string]*request{},
		codes: map[string]*code{}, refresh: map[string]*refreshToken{}, access: map[string]*issued{}, seen: map[string]time.Time{},
	}
	for _, c := range cfg.Clients {
		p.SetClient(c)
	}
	p.mount()
	return p, p.RotateKeys()
}

func (p *Provider) mount() {
	handle := func(pattern, path string, h http.HandlerFunc) {
		p.mux.HandleFunc(pattern+strings.TrimSuffix(p.issuer.Path, "/")+path, h)
	}
	handle("GET ", PathDiscovery, p.discovery)
	handle("GET ", PathJWKS, p.jwks)
	handle("GET ", PathAuthorize, p.authorize)
	handle("POST ", PathAuthorize, p.authorize)
	handle("POST ", PathLogin, p.login)
	handle("GET ", PathLogout, p.logout)
	handle("POST ", PathLogout, p.logout)
	handle("POST ", PathPAR, p.answer(http.StatusCreated, p.push))
	handle("POST ", PathToken, p.answer(http.StatusOK, p.token))
	handle("POST ", PathRevoke, p.answer(http.StatusOK, p.revoke))
	handle("POST ", PathIntrospect, p.answer(http.StatusOK, p.introspect))
	handle("GET ", PathUserinfo, p.answer(http.StatusOK, p.userinfo))
}

// Issuer returns the issuer.
func (p *Provider) Issuer() string { return p.cfg.Issuer }

// URL returns the address of an endpoint.
func (p *Provider) URL(path string) string { return strings.TrimSuffix(p.cfg.Issuer, "/") + path }

// SetClient adds a client, or replaces the one with its id.
func (p *Provider) SetClient(c Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c.ID] = &c
	p.remote[c.ID] = &remoteKeys{url: c.JWKSURI}
}

func (p *Provider) client(id string) *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients[id]
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if p.cfg.Nonce != "" {
		w.Header().Set(dpop.HeaderNonce, p.cfg.Nonce)
	}
	p.mux.ServeHTTP(w, r)
}

// maxForm holds a pushed request and an assertion many times over.
const maxForm = 64 << 10

// random returns a name that nobody guesses.
func random() string { return rand.Text() + rand.Text() }

// sweepLocked forgets what has ended, once in a while: a developer leaves this running for days.
func (p *Provider) sweepLocked(now time.Time) {
	if now.Sub(p.swept) < time.Minute {
		return
	}
	p.swept = now
	// Ended sessions are kept for an hour: whoever comes with what is left of them is told why it is no good.
	over := func(s *session) bool { return now.After(s.started.Add(p.cfg.SessionMax + time.Hour)) }
	sweep(p.sessions, over)
	sweep(p.cookies, over)
	sweep(p.waiting, func(r *request) bool { return now.After(r.end) })
	sweep(p.codes, func(c *code) bool { return now.After(c.end.Add(p.cfg.AccessLife)) })
	sweep(p.refresh, func(t *refreshToken) bool { return over(t.grant.session) })
	sweep(p.access, func(i *issued) bool { return now.After(i.end) })
	sweep(p.seen, func(end time.Time) bool { return now.After(end) })
}

func sweep[T any](from map[string]T, ended func(T) bool) {
	for name, v := range from {
		if ended(v) {
			delete(from, name)
		}
	}
}
