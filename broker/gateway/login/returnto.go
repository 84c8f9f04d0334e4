package login

import (
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/gateway/route"
	"github.com/intercom-broker/intercom/broker/hygiene"
)

// maxReturnTo bounds what is kept of where a browser wants to go. It comes escaped, in a request line, of which proxies let 8 KiB
// through, and anybody can have it kept.
const maxReturnTo = 4096

// ReturnTo returns where a login or a logout at o may lead back to: raw, if that is a path at o or a URL at
// one of the origins that o allows, and the default otherwise. What is returned is written anew from its
// parsed parts, so that a browser, which reads URLs by rules of its own (WHATWG URL standard), finds nothing
// in it that we did not see (RFC 9700, section 4.11).
func ReturnTo(o route.Origin, raw, otherwise string) string {
	raw = slashes(raw)
	if len(raw) > maxReturnTo || strings.ContainsFunc(raw, odd) {
		return otherwise
	}
	if to, ok := local(raw); ok {
		return to
	}
	origin, rest, ok := splitOrigin(raw)
	if !ok || origin != o.URL && !slices.Contains(o.ReturnTo, origin) {
		return otherwise
	}
	to, ok := local(rest)
	if !ok {
		return otherwise
	}
	if origin == o.URL {
		return to
	}
	return origin + to
}

// slashes escapes the backslashes behind a path. There browsers leave them as they are, in addresses that people come by, and
// read nothing else in them (WHATWG URL standard, query and fragment state); before, they are slashes to them, and odd.
func slashes(raw string) string {
	end := strings.IndexAny(raw, "?#")
	if end < 0 {
		return raw
	}
	return raw[:end] + strings.ReplaceAll(raw[end:], `\`, "%5C")
}

// odd are the characters that browsers remove or read as others before they look at a URL: control
// characters, spaces, backslashes. Beyond ASCII nothing is needed, since a URL can be escaped.
func odd(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }

// splitOrigin cuts an absolute URL behind its origin. The origin is compared as it is written: what has a
// user, a port that is implied, or capitals in it, is no member of any list.
func splitOrigin(raw string) (origin, rest string, ok bool) {
	scheme, after, ok := strings.Cut(raw, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return "", "", false
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		return raw, "/", true
	}
	origin, rest = scheme+"://"+after[:end], after[end:]
	if rest[0] != '/' {
		rest = "/" + rest
	}
	return origin, rest, true
}

// local returns a path with its query and fragment in their one form.
func local(raw string) (string, bool) {
	if !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.IsAbs() || u.Host != "" {
		return "", false
	}
	path, err := hygiene.CleanPath(u.EscapedPath())
	if err != nil {
		return "", false
	}
	to := url.URL{Path: "/", RawQuery: u.RawQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
	return path + strings.TrimPrefix(to.String(), "/"), true
}
