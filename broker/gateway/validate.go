package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/intercom-broker/intercom/broker/gateway/login"
	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// policyOfBroker in the place of a directory is the policy that the brokers serve.
const policyOfBroker = "broker"

// leastStale leaves room for three heartbeats of a broker, so that no busy moment refuses everybody.
const leastStale = 15 * time.Second

// The values of provider.auth.
const (
	authSVID   = "svid"
	authKey    = "private_key_jwt"
	authSecret = "secret"
)

// errs gathers what is wrong. Each error begins with the key that it is about, and [LoadConfig] adds the
// place in the file.
type errs []error

func (e *errs) want(ok bool, format string, args ...any) {
	if !ok {
		*e = append(*e, fmt.Errorf(format, args...))
	}
}

// Validate says what cannot work, whatever the machine looks like. What only a flag can allow is left to
// [New].
func (c *Config) Validate() error {
	var e errs
	e.want(c.Version == 1, "version: want 1, got %d", c.Version)
	c.checkListen(&e)
	c.checkOrigins(&e)
	c.checkProvider(&e)
	c.checkSessions(&e)
	files := c.Identity.Cert != "" && c.Identity.Key != "" && len(c.Identity.Bundles) > 0
	e.want((c.Identity.Socket != "") != files, "identity: want a socket, or all of cert, key and bundles")
	e.want(len(c.Brokers.Mesh) > 0, "brokers.mesh: want at least one address")
	e.want(c.Brokers.stale() >= leastStale, "brokers.stale: want at least %v, three of the brokers' heartbeats", leastStale)
	for _, address := range slices.Concat(c.Brokers.Mesh, c.Brokers.Egress) {
		e.want(isAddress(address), "brokers: want host:port, got %q", address)
	}
	e.want(isPrefix(c.prefix()), "prefix: want a path of one or more plain segments such as /bff, got %q", c.Prefix)
	e.want(slices.Contains([]string{"", "interval", "always"}, c.Audit.Sync), "audit.sync: want interval or always, got %q", c.Audit.Sync)
	e.want(slices.Contains([]string{"", "debug", "info", "warn", "error"}, c.Telemetry.Log), "telemetry.log: want debug, info, warn or error, got %q", c.Telemetry.Log)
	e.want(c.Limits.Connections >= 0, "limits: want positive numbers")
	return errors.Join(e...)
}

func (c *Config) checkListen(e *errs) {
	l := c.Listen
	e.want(isAddress(l.Address), "listen.address: want host:port, got %q", l.Address)
	e.want(isAddress(l.admin()), "listen.admin: want host:port, got %q", l.admin())
	e.want((l.Cert == "") == (l.Key == ""), "listen: cert and key come together")
}

func (c *Config) checkOrigins(e *errs) {
	e.want(len(c.Origins) > 0, "origins: want at least one")
	seen := map[string]bool{}
	for _, o := range c.origins() {
		e.want(o.Home == "" || login.ReturnTo(o, o.Home, "") == o.Home, "origins: home: want a path, or a URL at one of return_to, got %q", o.Home)
		e.want(!seen[o.URL], "origins: %s stands here twice", o.URL)
		seen[o.URL] = true
		e.want(len(o.Tokens) == 0 || !c.Provider.DPoP, "origins: tokens: a page has not the key that provider.dpop binds tokens to")
	}
}

func (c *Config) checkProvider(e *errs) {
	p := c.Provider
	u, err := url.Parse(p.Issuer)
	e.want(err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && onLoopback(u.Hostname())) && u.User == nil && u.RawQuery == "" && u.Fragment == "",
		"provider.issuer: want an https URL, got %.128q", p.Issuer)
	e.want(slices.Contains([]string{"", authSVID, authKey, authSecret}, p.Auth), "provider.auth: want svid, private_key_jwt or secret, got %q", p.Auth)
	e.want(p.Auth != authSecret || !p.Secret.IsZero(), "provider.auth: there is no secret: say where it is, with secret: file:/path")
	e.want(p.Secret.IsZero() || p.Auth == "" || p.Auth == authSecret, "provider.secret: it is not used with auth: %s", p.Auth)
}

func (c *Config) checkSessions(e *errs) {
	s := c.Sessions
	e.want(s.Memory != (s.Redis != nil), "sessions: want exactly one of memory and redis")
	e.want(s.Redis == nil || len(s.Keys) > 0, "sessions.keys: want at least one: what Redis holds is sealed")
	e.want(s.Redis != nil || len(s.Keys) == 0, "sessions.keys: sessions in memory are not sealed")
	e.want(s.Absolute == 0 || s.Idle <= s.Absolute, "sessions.idle: %s is never reached: no session lives longer than absolute, %s", s.Idle, s.Absolute)
	e.want(slices.Contains([]string{"", "strict", "lax"}, s.SameSite), "sessions.same_site: want strict or lax, got %q", s.SameSite)
}

func isAddress(text string) bool {
	_, _, err := net.SplitHostPort(text)
	return err == nil
}

// isPrefix accepts a path that is its own canonical form and means nothing to net/http's ServeMux.
func isPrefix(text string) bool {
	clean, err := hygiene.CleanPath(text)
	return err == nil && clean == text && len(text) > 1 && !strings.HasSuffix(text, "/") && !strings.ContainsAny(text, "{}%*;")
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func (l Listen) admin() string         { return cmp.Or(l.Admin, "127.0.0.1:8448") }
func (c *Config) prefix() string       { return cmp.Or(c.Prefix, "/bff") }
func (c *Config) grace() time.Duration { return cmp.Or(c.Grace.Std(), 10*time.Second) }
func (l Limits) connections() int      { return cmp.Or(l.Connections, 10_000) }
func (b Brokers) stale() time.Duration { return cmp.Or(b.Stale.Std(), time.Hour) }
func (p Provider) offersSVID() bool    { return p.Auth == authSVID || p.Auth == "" && p.Secret.IsZero() }
func (p Provider) offersKey() bool     { return p.Auth == authKey || p.Auth == "" && p.Secret.IsZero() }
func (s Sessions) isLax() bool         { return s.SameSite == "lax" }

// origins are the configured ones as the packages below want them.
func (c *Config) origins() (out route.Origins) {
	for _, o := range c.Origins {
		out = append(out, route.Origin{URL: o.URL, CORS: o.CORS, Frames: o.Frames, ReturnTo: o.ReturnTo, Home: o.Home, Tokens: o.Tokens})
	}
	return out
}

// PolicyDir returns the directory of the policy, and false when the brokers' is in force.
func (c *Config) PolicyDir() (string, bool) { return c.Policy, c.Policy != policyOfBroker }
