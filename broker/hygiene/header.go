package hygiene

import (
	"net/http"
	"strings"
)

// maxName is the longest field name that travels.
const maxName = 128

// ForwardHeaders copies from src to dst the fields that may travel to an upstream, as the package comment
// describes them, and none that folds to one of the managed names: those are the caller's to set, after
// this. It never changes src; the values in dst are safe to append to.
func ForwardHeaders(dst, src http.Header, managed ...string) {
	nominated := src["Connection"]
	for name, values := range src {
		if !travels(name) || isManaged(name, managed) || len(nominated) > 0 && hasToken(nominated, name) {
			continue
		}
		dst[name] = values[:len(values):len(values)]
	}
	// The one hop-by-hop field that says something end to end: gRPC servers refuse calls without it.
	if hasToken(src["Te"], "trailers") {
		dst["Te"] = []string{"trailers"}
	}
}

func isManaged(name string, managed []string) bool {
	for _, m := range managed {
		if SameField(name, m) {
			return true
		}
	}
	return false
}

// SameField reports whether two field names are one to a reader that folds them: that ignores case and takes
// `_` and `.` for `-`, as CGI, WSGI and PHP do.
func SameField(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_', c == '.':
		return '-'
	default:
		return c
	}
}

// travels reports whether a field of that name may be sent on.
func travels(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	var folded [maxName]byte
	for i := range len(name) {
		c := fold(name[i])
		if !isAlnum(c) && c != '-' {
			return false
		}
		folded[i] = c
	}
	return !isClosed(string(folded[:len(name)]))
}

// isClosed reports whether a folded name belongs to a family that proxies speak for. Fields that a
// browser or a framework adds about itself (Origin, Referer, Sec-Fetch-*) are not among them.
func isClosed(name string) bool {
	switch name {
	// The connection's own (RFC 9110, section 7.6.1) and the message's framing, which are made anew.
	case "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
		"content-length", "host", "expect":
		return true
	// What the caller is to us is nothing to the upstream.
	case "authorization", "cookie", "cookie2":
		return true
	// Where the request came from, and what it was before (RFC 7239 and its many forerunners).
	case "forwarded", "via", "true-client-ip", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
		"x-originating-ip", "x-remote-ip", "x-remote-addr", "x-host", "x-method-override", "remote-addr":
		return true
	// Who the client is, in the words of proxies that authenticate.
	case "remote-user", "x-remote-user", "x-remote-group", "x-authenticated-user":
		return true
	}
	return isClosedFamily(name)
}

// isClosedFamily reports whether name begins as only a proxy that is trusted may begin one.
func isClosedFamily(name string) bool {
	x, ok := strings.CutPrefix(name, "x-")
	if !ok {
		return hasPrefix(name, "proxy-", "intercom-", "ssl-client-", "client-cert", "cf-connecting-")
	}
	return hasPrefix(x, "forwarded", "original-", "rewrite-", "http-method", "envoy-", "accel-", "proxy-", "client-cert", "ssl-", "tls-",
		"auth-request-", "authenticated-", "webauth-", "remote-user-", "remote-extra-")
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}
