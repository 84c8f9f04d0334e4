package upstream

import (
	"net/url"
	"slices"
	"strings"

	"github.com/intercom-broker/intercom/broker/service"
)

// locate returns a Location for the browser. One that leads to the service (RFC 9110, section 10.2.2 resolves it
// against the URL that the service was asked by) is moved to where the service's route is: the base path goes,
// and what the route strips comes back. All others stay as they are, byte for byte: those that lead elsewhere,
// those relative to the page, and those outside of the base path, for which there is no route.
func locate(location string, svc *service.Service) string {
	u, err := url.Parse(location)
	switch {
	case err != nil, u.Opaque != "", u.User != nil:
		return location
	case u.Host == "" && (u.Scheme != "" || !strings.HasPrefix(u.Path, "/")):
		return location
	case u.Host != "" && !isTarget(u, svc):
		return location
	}
	path := u.EscapedPath()
	rest, ok := below(path, svc.Upstream.URL.EscapedPath())
	moved := passOf(svc).Strip + rest
	if moved == "" {
		moved = "/"
	}
	// Two slashes would make the first segment a host: the service would lead the browser where it likes.
	if !ok || strings.HasPrefix(moved, "//") || u.Host == "" && moved == path {
		return location
	}
	return moved + suffix(u)
}

// isTarget reports whether u is at one of the service's targets. Without a scheme it has theirs.
func isTarget(u *url.URL, svc *service.Service) bool {
	at := url.URL{Scheme: u.Scheme, Host: u.Host}
	if at.Scheme == "" {
		at.Scheme = svc.Upstream.URL.Scheme
	}
	return slices.ContainsFunc(svc.Upstream.Targets, func(t *url.URL) bool { return service.Origin(t) == service.Origin(&at) })
}

// suffix is what follows the path.
func suffix(u *url.URL) string {
	end := url.URL{RawQuery: u.RawQuery, ForceQuery: u.ForceQuery, Fragment: u.Fragment, RawFragment: u.RawFragment}
	return end.String()
}
