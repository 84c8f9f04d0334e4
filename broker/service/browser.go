package service

import (
	"slices"
	"strings"
	"time"
	"unicode"
)

// Browser says how browsers reach a service, and what is asked of them.
type Browser struct {
	// Matches are the requests that go to the service; never empty.
	Matches []Match
	Require Require
	Pass    Pass
	User    UserToken
}

// Match is one set of requests.
type Match struct {
	// Host is the host of one of the gateway's origins; empty means each of them.
	Host string
	// Path is a pattern over the canonical path: literal segments, `*` for exactly one segment, and `/**` at
	// the end for the path before it and everything below.
	Path string
	// Methods are the methods that are served; empty means all.
	Methods []string
	// Pos is where the match stands: file:line:column.
	Pos string
}

// Serves reports whether m is for that method. Who may GET may HEAD (RFC 9110, section 9.3.2).
func (m Match) Serves(method string) bool {
	return len(m.Methods) == 0 || slices.Contains(m.Methods, method) || method == "HEAD" && slices.Contains(m.Methods, "GET")
}

// Require says who may send a request, before policy is asked. The zero Require lets every user who has
// logged in ask.
type Require struct {
	// Anonymous lets requests through that belong to no session.
	Anonymous bool
	// Groups: the user is in one of them.
	Groups []string
	// Scopes: the session holds all of them.
	Scopes []string
	// ACR: the login was of one of these authentication context classes; the first is asked for.
	ACR []string
}

// maxACR bounds what is said to the login provider through the browser's address.
const maxACR = 128

// IsACR reports whether a login can ask for acr: acr_values has spaces between its values (OpenID Connect Core 1.0, section
// 3.1.2.1).
func IsACR(acr string) bool {
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	return acr != "" && len(acr) <= maxACR && !strings.ContainsFunc(acr, odd)
}

// Pass says what travels beyond what always does.
type Pass struct {
	// Cookies and SetCookies are the names of the cookies that pass to the service and back.
	Cookies    []string
	SetCookies []string
	// Strip is taken from the beginning of the path; policy and the service see what is left.
	Strip string
	// BodyLimit is the largest request body in bytes; zero means DefaultBodyLimit.
	BodyLimit int64
	// Timeout is how long the service may take until its response head; zero leaves it to the gateway.
	Timeout time.Duration
	// Passive requests do not count as a user's activity.
	Passive bool
}

// DefaultBodyLimit is the largest request body from a browser, where a file does not say.
const DefaultBodyLimit = 10 << 20

// Limit returns the largest request body in bytes.
func (p Pass) Limit() int64 {
	if p.BodyLimit == 0 {
		return DefaultBodyLimit
	}
	return p.BodyLimit
}

// UserToken is what a service gets of the user.
type UserToken struct {
	Kind UserKind
	// Audience and Scope are what an exchange at the provider asks for.
	Audience string
	Scope    []string
	// Claim is the user's name for the service, and Credential has the password that goes with everybody's.
	Claim      string
	Credential string
}

// UserKind says where the service's credential comes from when a browser calls.
type UserKind string

// The kinds.
const (
	// UserMint: our broker mints a token with the user as sub and the gateway as act.
	UserMint UserKind = "mint"
	// UserExchange: the OpenID provider exchanges the user's token for the audience (RFC 8693).
	UserExchange UserKind = "exchange"
	// UserOwn: the user's own access token, which must name the service as audience.
	UserOwn UserKind = "access_token"
	// UserBasic: `Authorization: Basic` from a claim of the user and the password of a stored credential, which the
	// broker leases to the gateway (RFC 7617).
	UserBasic UserKind = "basic"
	// UserNone: nothing of the user; what the mode of the service injects, or nothing.
	UserNone UserKind = "none"
)
