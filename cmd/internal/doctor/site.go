package doctor

import (
	"context"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// site is what browsers hold against another for SameSite and for third-party cookies: the scheme and the registrable
// domain (HTML, "schemelessly same site"; the public suffix list). An address is a site of its own, and so is a name
// that is a public suffix itself. Each name below localhost has one label of its own, as below any top-level domain.
func site(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return origin
	}
	host := u.Hostname()
	if net.ParseIP(host) == nil {
		if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
			host = domain
		}
	}
	return u.Scheme + "://" + host
}

// sameSite holds each origin against those that call it, that frame its silent login, and against the provider.
func (g *gatewayExam) sameSite(_ context.Context, r rows) {
	bad := false
	other := func(a, b string) bool {
		differ := site(a) != site(b)
		bad = bad || differ
		return differ
	}
	for _, o := range g.Gateway.Origins {
		r := r.of(o.URL)
		for _, from := range o.CORS {
			if other(from, o.URL) {
				r.fail(key("origins"), moveTo(o.URL, from), "%s is of another site: our cookie does not come along when its pages call, and they are told that nobody is logged in", from)
			}
		}
		for _, from := range o.Frames {
			if other(from, o.URL) {
				r.fail(key("origins"), moveTo(o.URL, from), "%s is of another site: our cookie is not in a frame of its pages, and the silent login says that nobody is logged in", from)
			}
		}
		if issuer := g.Gateway.Provider.Issuer; other(issuer, o.URL) {
			r.warn(key("provider.issuer"), moveTo(o.URL, "the provider"), "the provider, %s, is of another site: where browsers block third-party cookies its silent login (prompt=none in a frame) finds nobody; a login of the whole page works", site(issuer))
		}
	}
	if !bad {
		r.ok("all origins and the provider are of one site with those that they have to do with")
	}
}

func moveTo(origin, other string) string {
	_, domain, _ := strings.Cut(site(origin), "://")
	return "give " + other + " a name below " + domain
}

// cookies says whether browsers keep our cookies, whose names begin with __Host-: they want https, and take http only
// from names of the machine itself (Secure Contexts, section 3.1).
func (g *gatewayExam) cookies(_ context.Context, r rows) {
	bad := false
	for _, o := range g.Gateway.Origins {
		u, err := url.Parse(o.URL)
		switch {
		case err != nil || u.Scheme == "https":
		case loopback(u.Hostname()):
			r.of(o.URL).ok("plain http, which Chromium and Firefox take from this machine; Safari keeps no __Host- cookie from it")
			bad = true
		default:
			bad = true
			r.of(o.URL).fail(key("origins"), "write https://, or a name below localhost for a trial", "browsers keep no __Host- cookie from plain http: nobody would be logged in")
		}
	}
	if !bad {
		r.ok("all origins are https, as __Host- cookies want")
	}
}
