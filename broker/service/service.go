package service

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// DefaultStale is how long a value may be used after its source went silent, where a file does not say.
const DefaultStale = 10 * time.Minute

// DefaultTTL is how long a vended credential is leased, where a file does not say.
const DefaultTTL = 15 * time.Minute

// Mode is how a service's credential travels.
type Mode string

// The modes.
const (
	ModeToken  Mode = "token"
	ModeInject Mode = "inject"
	ModeVend   Mode = "vend"
)

// Bind is what a service's tokens are bound to.
type Bind string

// The bindings.
const (
	// BindSVID binds a token to the caller's certificate by `cnf` `x5t#S256` (RFC 8705, section 3.1).
	BindSVID Bind = "svid"
	// BindNone is a bearer token.
	BindNone Bind = "none"
)

// Service is one service. It is shared and must not be changed.
type Service struct {
	// Name is a DNS label: it stands in paths, and as a host.
	Name string
	// Owner is the team whose file names the service.
	Owner string
	// Upstream is where the service is; its URL is nil for vend, and may be for token.
	Upstream Upstream
	// Mode says which one of Token, Inject and Vend is set.
	Mode   Mode
	Token  *Token
	Inject *Inject
	Vend   *Vend
	// Stale is how long a value may be used after its source went silent; zero means not at all.
	Stale time.Duration
	// Browser is how browsers reach the service; nil means not at all.
	Browser *Browser
	// Pos is where the service stands: file:line:column.
	Pos string

	// line: the one-line form was used.
	line bool
}

// Upstream is where a service is.
type Upstream struct {
	// URL is http or https, with a path without trailing slash or none, and nothing after it.
	URL *url.URL
	// Targets are all places of the service, of one scheme and one path; URL is the first.
	Targets []*url.URL
	// Dial are the networks that the dial guard opens beyond public and private ranges.
	Dial []netip.Prefix
}

// Origin returns scheme, host and port as RFC 6454 spells them, and "" where there is no URL: the form in
// which RFC 8693's `resource` names the service.
func (u Upstream) Origin() string {
	if u.URL == nil {
		return ""
	}
	return Origin(u.URL)
}

// Origin returns the scheme, the host and the port of u, without the port that the scheme implies.
func Origin(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// Token says which token a service wants.
type Token struct {
	Audience string
	// Scope is the most that a token for the service may carry.
	Scope []string
	Bind  Bind
}

// Vend says which credential is handed out.
type Vend struct {
	Credential string
	// TTL is the longest life of a lease.
	TTL time.Duration
}
