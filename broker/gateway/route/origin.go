package route

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Origin is one origin that the gateway serves. Each has cookies, a callback and sessions of its own.
type Origin struct {
	// URL is the origin as browsers write it (RFC 6454, section 6.2): https://app.example.org.
	URL string
	// CORS are the other origins whose pages may call with the user's session and read the answers.
	CORS []string
	// Frames are the origins whose pages may frame the silent login, and no other page.
	Frames []string
	// ReturnTo are the other origins that a login or a logout may lead back to.
	ReturnTo []string
	// Home is where a browser goes that names no place, a path or a URL at one of ReturnTo; empty means /.
	Home string
	// Tokens are the audiences whose tokens the origin's pages, and those of CORS, may hold themselves.
	Tokens []string
}

// Host is the origin's host as browsers send it, with a port that is not the scheme's own.
func (o Origin) Host() string {
	_, host, _ := strings.Cut(o.URL, "://")
	return host
}

// Start is Home, or what it means when it is empty.
func (o Origin) Start() string { return cmp.Or(o.Home, "/") }

// Secure reports whether the origin is https, as all are outside of development.
func (o Origin) Secure() bool { return strings.HasPrefix(o.URL, "https://") }

// Allows reports whether pages of origin may call and read: those of o itself, and of the exact origins
// that are configured. Nothing is allowed by likeness: not a sub-domain, not another port, never "null".
func (o Origin) Allows(origin string) bool {
	return origin == o.URL || slices.Contains(o.CORS, origin)
}

// Origins are all that a gateway serves.
type Origins []Origin

// Hosts returns the host of each.
func (os Origins) Hosts() (hosts []string) {
	for _, o := range os {
		hosts = append(hosts, o.Host())
	}
	return hosts
}

// Of returns the origin that a request was sent to, and false when it is none of ours: a Host that somebody
// made up is never part of an answer.
func (os Origins) Of(r *http.Request) (Origin, bool) {
	for _, o := range os {
		if o.Host() == r.Host {
			return o, true
		}
	}
	return Origin{}, false
}

// CheckOrigin refuses what is not an origin in the one form that browsers write: scheme, host in lower
// case, a port that is not the scheme's own, and nothing after it. Plain http is for names that stay on the
// machine, which browsers trust as they do https.
func CheckOrigin(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.User != nil:
		return fmt.Errorf("%.128q is no origin: want https://host", text)
	case strings.ContainsFunc(u.Hostname(), odd):
		return fmt.Errorf("%.128q: an origin is written out, in letters of ASCII: there are no patterns", text)
	case u.Scheme == "http" && !isLocal(u.Hostname()):
		return fmt.Errorf("%.128q: plain http is for localhost only: cookies would travel in the clear", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%.128q: want https", text)
	}
	want := u.Scheme + "://" + strings.ToLower(u.Host)
	if port := u.Port(); port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		want = strings.TrimSuffix(want, ":"+port)
	}
	if want = strings.TrimSuffix(want, ":"); text != want || strings.HasSuffix(u.Hostname(), ".") {
		return fmt.Errorf("%.128q: browsers write this origin as %s", text, strings.TrimSuffix(want, "."))
	}
	return nil
}

// odd are the characters that no host has in a browser's address; IDN are written in Punycode.
func odd(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-.:_", r)
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
